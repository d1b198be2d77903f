"""The main job: the notes' network, 784-50-10 with sigmoid, on the shipped digits."""

import fastfnn as fnn

from .common import DTYPES, Compiled


class MainJob(Compiled):
    params = [DTYPES, ["kernels", "reference"]]
    param_names = ["dtype", "backend"]

    def setup(self, dtype, backend):
        (self.x, self.t), _ = fnn.datasets.load_mnist()
        self.x = self.x.astype(dtype)
        self.net = fnn.FNN((784, 50, 10), activation="sigmoid", init=0.01, dtype=dtype, seed=0, backend=backend)
        self.compiled(lambda: (self.net.fit(self.x, self.t, epochs=1), self.net.gradient(self.x[:100], self.t[:100])))
        self.net.predict(self.x)

    def time_epoch(self, dtype, backend):
        self.net.fit(self.x, self.t, epochs=1, batch_size=100, optimizer=fnn.SGD(0.1))

    def time_gradient_batch_100(self, dtype, backend):
        self.net.gradient(self.x[:100], self.t[:100])

    def time_predict(self, dtype, backend):
        self.net.predict(self.x)
