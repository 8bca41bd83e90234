"""Run in a process of its own with KERAS_BACKEND=torch: what Keras computes in float64.

Reads a pickle of cases from the standard input: (class name, arguments, start, noise), where a
step's gradient is ``parameter + noise[step]``, or ("schedule", class name, arguments, steps).
Writes a pickle of the parameters at the end, or of the schedule's values.
"""

import pickle
import sys

import keras
import numpy as np

keras.config.set_floatx("float64")


def train(name, arguments, start, noise):
    rate = arguments.get("learning_rate")
    if isinstance(rate, tuple):
        arguments["learning_rate"] = getattr(keras.optimizers.schedules, rate[0])(**rate[1])
    excluded = arguments.pop("exclude", None)
    optimizer = getattr(keras.optimizers, name)(**arguments)
    variables = [
        keras.Variable(array, dtype="float64", name=f"p{i}") for i, array in enumerate(start)
    ]
    if excluded is not None:
        optimizer.exclude_from_weight_decay(var_list=[variables[i] for i in excluded])
    optimizer.build(variables)
    for step in noise:
        gradients = [keras.ops.add(v, n) for v, n in zip(variables, step, strict=True)]
        optimizer.apply(gradients, variables)
    return [keras.ops.convert_to_numpy(v) for v in variables]


def schedule(name, arguments, steps):
    function = getattr(keras.optimizers.schedules, name)(**arguments)
    return np.array([float(function(step)) for step in range(steps)])


cases = pickle.load(sys.stdin.buffer)
results = [schedule(*case[1:]) if case[0] == "schedule" else train(*case) for case in cases]
sys.stdout.buffer.write(b"RESULT" + pickle.dumps(results))
