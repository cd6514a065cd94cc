"""Models of the worlds that measure, with the loss, how much their gradients scatter.

The noise scale of McCandlish et al. (2018, arXiv 1812.06162) is `gradient_variance` over
`gradient_square`: the batch size at which the noise of a step is as large as the step. Both are
estimated, of each part of the data, from the gradients of batches of 32 and of up to 2,000 rows
together (appendix A there). Average the two separately, then divide. Of rows that are trained on
the gradient shrinks as they are learnt: `val_` has those of new rows.
"""

import keras
import tensorflow as tf

from epochlab.worlds import digits_model, photos_model, text_model

_BATCH = 32


class NoisyModel(keras.Model):
    """Trains as the model that it is made of; only measuring it takes the gradients, too."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.square = keras.metrics.Mean(name="gradient_square")
        self.variance = keras.metrics.Mean(name="gradient_variance")

    def call(self, x, training=None):
        return self.model(x, training=training)

    def test_step(self, data):
        x, y = data
        count = x.shape[0] // _BATCH
        if count > 1:
            small, large = self.squares(x[: count * _BATCH], y[: count * _BATCH], count)
            n = count * _BATCH
            self.square.update_state((n * large - _BATCH * small) / (n - _BATCH), x.shape[0])
            self.variance.update_state((small - large) / (1 / _BATCH - 1 / n), x.shape[0])
        return super().test_step(data)

    def squares(self, x, y, count):
        """Return the squared length of a gradient of 32 rows, on average, and of all rows."""
        variables = self.trainable_variables

        def gradient(rows):
            with tf.GradientTape() as tape:
                loss = self.compute_loss(y=rows[1], y_pred=self(rows[0], training=False))
            return tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(loss, variables)], 0)

        def add(so_far, rows):
            each = gradient(rows)
            return so_far[0] + each, so_far[1] + tf.reduce_sum(each**2)

        batches = [tf.reshape(a, (count, _BATCH, *a.shape[1:])) for a in (x, y)]
        start = (tf.zeros(sum(v.value.shape.num_elements() for v in variables)), 0.0)
        total, squares = tf.foldl(add, tuple(batches), start)
        return squares / count, tf.reduce_sum((total / count) ** 2)


def _noisy(model):
    noisy = NoisyModel(model)
    noisy.compile(model.optimizer, model.loss, metrics=["accuracy"])
    return noisy


def noisy_digits(**settings) -> keras.Model:
    return _noisy(digits_model(**settings))


def noisy_photos(**settings) -> keras.Model:
    return _noisy(photos_model(**settings))


def noisy_text(**settings) -> keras.Model:
    return _noisy(text_model(**settings))
