"""What other tools call things: from the names of Keras, PyTorch, Ludwig and ONNX to specc's.

Nothing is accepted under these names; they lead to the right one in the help of a message. The
attributes that one op knows under other names are its own ``refused``.

A name is compared without its module, its underscores and its case: ``nn.LayerNorm`` is layer_norm
without a table.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from collections.abc import Mapping as Dict

from specc.diagnostics import Diagnostic
from specc.frontend.tree import Mapping

_WRITE_ONE = "specc has no such layer; docs/adding-an-op.md says how to write one"
_INPUTS = "inputs are declared in the section inputs, with their shapes"
_LAYERS = {
    "(gemm|matmul|innerproduct|fc|fullyconnected)": "dense",
    "conv(olution)?": "write conv2d for images, conv1d for sequences",
    "convolution([12])d": r"conv\1d",
    "maxpool": "write max_pool2d for images, max_pool1d for sequences",
    "(average|avg)pool": "write average_pool2d for images, average_pool1d for sequences",
    "globalaveragepool": "write global_average_pool2d for images, global_average_pool1d for "
    "sequences",
    "globalmaxpool": "write global_max_pool2d for images, global_max_pool1d for sequences",
    r"adaptive(average|avg)pool(ing)?([12])d": r"global_average_pool\3d",
    r"adaptivemaxpool(ing)?([12])d": r"global_max_pool\2d",
    "reducemean": "write global_average_pool2d for images, global_average_pool1d for sequences",
    "(spatialbn|bn|batchnorm3d)": "batch_norm",
    "(spatialdropout[123]d|alphadropout|gaussiandropout|dropout[123]d)": "specc drops single "
    "elements: write dropout",
    "concat": "concatenate",
    "sub": "subtract",
    "mul": "multiply",
    "sum": "add",
    "gather": "embedding",
    "merge": "write concatenate, add, average or multiply, which say what becomes of the values",
    "(view|unsqueeze|squeeze)": "write reshape, with the shape after the batch, or flatten",
    "swapaxes": "permute",
    "logsoftmax": "leave the logits as they are, and set from_logits: true in the loss",
    "activation": "write the activation itself as a layer, e.g. relu, or as activation: relu in "
    "the layer before",
    "bidirectional": "set bidirectional: true in lstm, gru or simple_rnn",
    "timedistributed(dense|linear)": "write dense, which works on every step by itself",
    "timedistributed": "write the layer alone: dense works on every step by itself",
    "zeropadding[123]d|constantpad[123]d|zeropad2d|pad": "give the next layer padding: same, or "
    "sizes such as padding: 1",
    "(identity|noop)": "remove it: a layer takes the value above it, or the ones that from names",
    "input|inputlayer": _INPUTS,
    "sequential|model|functional|modulelist": "the section layers is a sequence already; a part to "
    "use again is a block",
    "lambda": "specc runs no code of a spec; docs/adding-an-op.md says how to write a layer",
    "(conv|convolution)(1d|2d|3d)?transpose|convtranspose[123]d|deconvolution": "specc has no "
    "transposed convolution; docs/adding-an-op.md says how to write one",
    "upsampling[123]d|upsample|resize|pixelshuffle": "`specc ops` lists what there is; "
    "docs/adding-an-op.md says how to write another",
    "(conv3d|maxpool3d|averagepool3d|separableconv2d|transformer|prelu|instancenorm[12]d)": (
        _WRITE_ONE
    ),
    "stackedcnn": "write its layers: conv2d, max_pool2d and so on, in a block",
    "parallelcnn": "write its layers: conv1d with several widths, and concatenate",
}
_LOSSES = {
    "crossentropyloss": "write sparse_categorical_crossentropy with from_logits: true, which "
    "takes integer classes",
    "nll(loss)?": "write sparse_categorical_crossentropy, on the output of softmax, or with "
    "from_logits: true before it",
    "(bce|binarycrossentropy|sigmoidcrossentropy)(withlogits)(loss)?|sigmoidcrossentropy": "write "
    "binary_crossentropy with from_logits: true",
    "(sparse)?softmaxcrossentropy(withlogits)?": "write sparse_categorical_crossentropy (integer "
    "classes) or categorical_crossentropy (one-hot) with from_logits: true",
    "smoothl1(loss)?": "huber",
    "rmse|rootmeansquarederror": "mean_squared_error",
}
_OPTIMIZERS = {
    "radam|lion|lamb|ftrl|adafactor|rectifiedadam": "specc has no such optimizer; the nearest is "
    "adam"
}
_METRICS = {
    "(val)?acc(uracy)?|(sparse|binary)?(categorical)?accuracy|sparsecategoricalacc": "accuracy",
    r"top\d*k?(acc|accuracy|categoricalaccuracy)|(sparse)?topkcategoricalaccuracy|hitsatk": "write "
    "top_k_accuracy with k",
    "(val)?loss": "the loss is always shown; remove it",
    "mse|meansquarederror|rmse": "`specc evaluate` shows the loss; as a metric there is "
    "mean_absolute_error",
}
_SCHEDULES = {
    "steplr|multisteplr": "step",
    "exponentiallr": "exponential",
    "cosineannealing(lr|warmrestarts)?": "cosine",
    "lambdalr|reducelronplateau|cycliclr|onecyclelr": "specc's schedules are functions of the step "
    "alone: constant, step, piecewise_constant, exponential, inverse_time, polynomial, cosine",
    "polynomiallr|linearlr": "polynomial",
}
_ACTIVATIONS = {
    "linear|identity|none": "remove it: without an activation the result stays as it is",
    "lrelu": "leaky_relu",
    "(swish|silu|mish|selu|hardsigmoid|hardswish|relu6)": "specc has no such activation; "
    "`specc ops` lists those that it has",
}
_SECTIONS = {
    "inputfeatures|features|inputlayers": "inputs",
    "outputfeatures": "what it is trained towards stands in targets, what it gives in outputs",
    "labels?": "targets",
    "combiner": "features are combined by a layer: concatenate",
    "trainer|train": "training",
    "preprocessing|preprocess|transforms": "data are prepared in the section data, under prepare",
    "(model)?config|model|network|architecture|encoder|decoder": "the network is the section "
    "layers",
    "version": "specc",
}
_TRAINING = {
    "nbepochs?|numepochs?|maxepochs?": "epochs",
    "batch|minibatch(size)?": "batch_size",
    "lr|learningrate": "the rate belongs to the optimizer: "
    "optimizer: {adam: {learning_rate: 0.001}}",
    "(weightdecay|momentum|betas|scheduler|lrscheduler|learningratescheduler)": "it belongs to the "
    "optimizer; a schedule is its learning_rate",
    "validationsplit|valsplit|validationdata|testsplit": "data are split in the section data: "
    "split: {validation: 0.1}",
    "criterion|lossfn|lossfunction|losses|objective": "loss",
    "optimiser|optim": "optimizer",
    "gradientclip(ping)?|gradclip|clipnorm|clipgradnorm": "clip",
    "callbacks|earlystop(ping)?": "it belongs to no spec; remove it",
}
_DTYPES = {
    "(numerical|numeric|number|float(16|32|64)?|double|half|bfloat16)": "float",
    "u?int(8|16|32|64)|long|integer": "int",
    "boolean|binary": "bool",
    "category|categorical": "a category is a number: write int, and begin with an embedding",
    "text|string|sequence": "a text is a row of ids: write int, and begin with an embedding",
    "image|audio|timeseries|vector": "float",
}
_PORTS = {
    "ypred|pred|predictions?|outputs?|inputs?|logits|yhat": "prediction",
    "ytrue|true|truth|labels?|targets?|y": "target",
}
_ATTRIBUTES: dict[str, str] = {
    "bordermode|pads?|autopad": "padding",
    "subsample(length)?|stride": "strides",
    "init|winit|weightsinitializer|weightinitializer|kernelinit": "kernel_initializer",
    "biasinit": "bias_initializer",
    "nbfilters?|outchannels|numfilters|outputchannels": "filters",
    "filter(length|size|width)|kernel(shape|size)?|pool(size|length)|window": "kernel_size|"
    "pool_size",
    "dilationrate|dilations|atrousrate": "dilation",
    "outputdim|outfeatures|outputsize|fcsize|hiddensize|neurons|numunits|hiddenunits|width": (
        "units|output_dim"
    ),
    "wregularizer|kernelreg|weightregularizer": "kernel_regularizer",
    "bregularizer": "bias_regularizer",
    "bias": "use_bias|center",
    "alpha|slope|leakiness": "negative_slope",
    "keepprob": "write rate, which is 1 - keep_prob: the probability to be dropped",
    "p|prob|probability|ratio|dropout": "rate",
    "eps": "epsilon",
    "dim|axes|dims": "axis",
    "nheads?|nhead|heads|numattentionheads": "num_heads",
    "vocabsize|vocab|numembeddings|nwords": "input_dim",
    "embeddingdim|embeddingsize": "output_dim",
    "lr": "learning_rate",
    "betas": "write beta_1 and beta_2",
    "inneractivation|recurrentactivation": "the gates have sigmoid, as in both frameworks; remove "
    "it",
    "input(shape|length|batchshape)|batch(input)?shape": _INPUTS,
    "inputdim|insize|infeatures|inchannels|inputsize|numfeatures": "specc infers the size of the "
    "input; remove it",
    "dataformat|dimordering|imageordering|channelsfirst": "images lie as the spec says beside its "
    "name: layout",
    "weights|pretrained": "initial values come from an initializer; a generated file takes others "
    "by set_parameters",
    "istest|istraining|train": "training and inference are told apart by what a generated file "
    "does, by train and predict; remove it",
    "spatial|consumedinputs|inplace|device|dtype": "it has no counterpart; remove it",
    "trans[ab]|broadcast": "kernels are (input, output) always; remove it",
    "trainable": "specc trains all layers but batch_norm, which has trainable; remove it",
    "name": "a layer's name stands beside it: {name: hidden, dense: 32}",
}

_TABLES: Dict[str, Dict[str, str]] = {
    "layer": _LAYERS,
    "loss": _LOSSES,
    "optimizer": _OPTIMIZERS,
    "metric": _METRICS,
    "schedule": _SCHEDULES,
    "activation": _ACTIVATIONS,
    "section": _SECTIONS,
    "training": _TRAINING,
    "dtype": _DTYPES,
    "port": _PORTS,
    "attribute": _ATTRIBUTES,
}


def translated(name: str, what: str, known: Collection[str]) -> str:
    """The help for a name of another tool, "" for one that no tool has.

    ``what`` is a key of the tables; ``known`` are the names that specc has there.
    """
    word = _folded(name)
    for each in known:
        if _folded(each) == word:
            return f"did you mean '{each}'?"
    for pattern, advice in _TABLES.get(what, {}).items():
        match = re.fullmatch(pattern, word)
        if match is None:
            continue
        if " " in advice:
            return advice
        for choice in advice.split("|"):
            meant = match.expand(choice)
            if meant in known:
                return f"did you mean '{meant}'?"
    return ""


def other_format(tree: Mapping) -> Diagnostic | None:
    """What is wrong with a file that is another tool's; None for one that may be a spec."""
    keys = tree.keys()
    if "specc" in keys:
        return None
    for mark, beside, what, help_ in (
        (
            "input_features",
            "output_features",
            "a configuration of Ludwig",
            "in a spec, input_features are inputs (and layers that encode them), output_features "
            "are targets and outputs; it begins with specc: 1",
        ),
        (
            "class_name",
            "config",
            "a model file of Keras",
            "write its layers as a spec, which begins with specc: 1",
        ),
    ):
        key = tree.key(mark)
        if key is not None and beside in keys:
            return Diagnostic("E0425", f"this is {what} and not a spec", key.span, (), help_)
    return None


def elsewhere(name: str) -> str:
    """Where a name belongs that is no choice at its place: "'mse' is a loss"; "" for nowhere."""
    from specc.ops.activations import ACTIVATIONS
    from specc.ops.losses import LOSSES
    from specc.training.metrics import METRICS
    from specc.training.optimizers import OPTIMIZERS
    from specc.training.schedules import SCHEDULES

    homes = (
        ("a loss", LOSSES),
        ("an optimizer", OPTIMIZERS),
        ("a metric", METRICS),
        ("an activation", ACTIVATIONS),
        ("a schedule of the learning_rate", SCHEDULES),
    )
    for what, registry in homes:
        if any(name in (kind, *getattr(row, "aliases", ())) for kind, row in registry.items()):
            return f"'{name}' is {what}"
    return ""


def _folded(name: str) -> str:
    """A name without its module, its underscores and its case."""
    return name.rpartition(".")[2].replace("_", "").lower()
