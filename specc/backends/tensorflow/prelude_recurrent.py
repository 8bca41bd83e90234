"""Recurrent layers of generated TensorFlow files whose meaning Keras' own do not have."""

import keras
import tensorflow as tf


class TwoBiases(keras.Layer):
    """A second bias, in the recurrent product, which is trained apart: PyTorch's convention.

    What Keras takes for the bias of a cell is the sum of both.
    """

    def build(self, shape: tuple[int, ...]) -> None:
        super().build(shape)
        self.recurrent_bias = self.add_weight(shape=self.input_bias.shape, name="recurrent_bias")

    @property
    def bias(self) -> tf.Tensor:
        return self.input_bias + self.recurrent_bias

    @bias.setter
    def bias(self, value: keras.Variable) -> None:
        self.input_bias = value


class TwoBiasLSTMCell(TwoBiases, keras.layers.LSTMCell):
    """A step of an LSTM with two biases."""


class TwoBiasSimpleRNNCell(TwoBiases, keras.layers.SimpleRNNCell):
    """A step of a plain recurrent layer with two biases."""


def two_biases(layer: keras.Layer) -> keras.Layer:
    """A recurrent layer of Keras, or a bidirectional one, with cells that have two biases."""
    if isinstance(layer, keras.layers.Bidirectional):
        two_biases(layer.forward_layer)
        two_biases(layer.backward_layer)
        return layer
    lstm = isinstance(layer, keras.layers.LSTM)
    cell = TwoBiasLSTMCell if lstm else TwoBiasSimpleRNNCell
    layer.cell = cell.from_config(layer.cell.get_config())
    return layer
