"""`from_torch` and `to_torch`: make test-peers installs PyTorch."""

import copy
import pickle
import re

import numpy as np
import pytest

import fastfnn as fnn
from fastfnn.losses import BY_NAME
from fastfnn.options import HIDDEN_ACTIVATIONS

torch = pytest.importorskip("torch", reason="needs PyTorch: make test-peers")
nn = torch.nn

# Largest difference, relative to the largest output.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
MODULES = {
    "identity": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "softplus": nn.Softplus,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}
OUTPUTS = {"softmax_cross_entropy": [nn.Softmax(dim=1)], "sigmoid_cross_entropy": [nn.Sigmoid()], "squared_error": []}

dtypes = pytest.mark.parametrize("dtype", TOLERANCE)
activations = pytest.mark.parametrize("activation", HIDDEN_ACTIVATIONS)


def tensor(array):
    return torch.from_numpy(np.array(array))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def sequential(*modules, dtype="float32"):
    """A model in evaluation mode, whose batch normalization is not that of the beginning."""
    model = nn.Sequential(*modules).to(getattr(torch, dtype)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d) and module.running_var is not None:
            module.running_mean.uniform_(-1, 1)
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                module.weight.data.uniform_(-2, 2)
                module.bias.data.uniform_(-1, 1)
    return model


def classifier(activation="relu", *, batch_norm=False, dropout=0.0, loss="softmax_cross_entropy", dtype="float32"):
    modules = []
    for inputs, units in ((6, 16), (16, 8)):
        modules += [nn.Linear(inputs, units), *([nn.BatchNorm1d(units)] if batch_norm else []), MODULES[activation]()]
        modules += [nn.Dropout(dropout)] if dropout else []
    return sequential(*modules, nn.Linear(8, 3), *copy.deepcopy(OUTPUTS[loss]), dtype=dtype)


def samples(count=50, features=6, dtype="float32"):
    return np.random.default_rng(0).normal(size=(count, features)).astype(dtype)


def difference(net, model, x=None):
    x = samples(features=net.layer_sizes[0], dtype=net.dtype) if x is None else x
    with torch.no_grad():
        want = model(tensor(x)).numpy()
    got = net.predict(x.reshape(len(x), -1))
    assert got.dtype == want.dtype and got.shape == want.shape
    return np.abs(got - want).max() / np.abs(want).max()


@dtypes
@activations
def test_predictions_are_those_of_the_model_and_of_the_way_back(activation, dtype):
    for loss in OUTPUTS:
        for options in ({}, {"batch_norm": True}, {"dropout": 0.5}, {"batch_norm": True, "dropout": 0.25}):
            model = classifier(activation, loss=loss, dtype=dtype, **options)
            net = fnn.from_torch(model)
            assert net.loss_name == loss and net.activation == (activation,) * 2 and net.dtype == dtype
            assert (net.batch_norm, net.dropout) == (options.get("batch_norm", False), options.get("dropout", 0.0))
            assert difference(net, model) < TOLERANCE[dtype]
            assert difference(net, net.to_torch()) < TOLERANCE[dtype]


@dtypes
@activations
def test_a_step_of_training_is_that_of_pytorch(activation, dtype):
    """SGD on one batch, with batch normalization by the statistics of the batch."""
    for batch_norm in (False, True):
        model = classifier(activation, batch_norm=batch_norm, dtype=dtype)
        net, labels = fnn.from_torch(model), np.arange(50) % 3
        net.fit(samples(dtype=dtype), labels, epochs=1, batch_size=None, optimizer=fnn.SGD(0.1))
        model.train()
        nn.CrossEntropyLoss()(model[:-1](tensor(samples(dtype=dtype))), tensor(labels)).backward()
        torch.optim.SGD(model.parameters(), 0.1).step()
        stepped = fnn.from_torch(model)
        for name, value in net.params.items():
            tolerance = 10 * TOLERANCE[dtype]
            np.testing.assert_allclose(value, stepped.params[name], rtol=tolerance, atol=tolerance / 10, err_msg=name)


def own_network(**options):
    net = fnn.FNN((6, 16, 8, 3), seed=1, **options)
    for name, value in {**net.params, **net._running()}.items():
        if not name.startswith("W"):
            value[...] = np.random.default_rng(2).uniform(0.5, 2, value.shape)
    return net


@dtypes
@pytest.mark.parametrize("loss", BY_NAME)
def test_a_network_of_every_loss_goes_there_and_back(loss, dtype):
    for options in ({}, {"batch_norm": True, "dropout": 0.2}, {"batch_norm": True, "dropout": 0.2, "book": True}):
        net = own_network(loss=loss, dtype=dtype, **options)
        model = net.to_torch()
        assert not model.training and difference(net, model) < TOLERANCE[dtype]
        back = fnn.from_torch(model, loss=loss)
        assert (back.loss_name, back.batch_norm, back.dropout) == (loss, net.batch_norm, net.dropout)
        assert difference(back, model) < TOLERANCE[dtype]


def test_to_torch_shares_nothing_and_leaves_the_random_numbers_of_pytorch():
    net = own_network()
    torch.manual_seed(0)
    want = torch.rand(1).item()
    torch.manual_seed(0)
    model = net.to_torch()
    assert torch.rand(1).item() == want
    before = net.params["W1"].copy()
    model[0].weight.data.zero_()
    assert (net.params["W1"] == before).all()


def test_the_modules_of_a_network():
    model = own_network(batch_norm=True, dropout=0.5, activation="gelu").to_torch()
    hidden = ["Linear", "BatchNorm1d", "GELU", "Dropout"]
    assert [type(module).__name__ for module in model] == [*hidden, *hidden, "Linear", "Softmax"]
    assert (model[1].eps, model[1].momentum) == (1e-5, 0.1)


def test_a_model_with_exponential_output_can_be_pickled():
    model = own_network(loss="poisson").to_torch()
    x = tensor(samples())
    assert (pickle.loads(pickle.dumps(model))(x) == model(x)).all()


def test_a_network_in_training_mode_trains_in_pytorch():
    model = own_network(dropout=0.2, batch_norm=True, loss="squared_error").to_torch().train()
    model(tensor(samples())).sum().backward()
    assert all(value.grad is not None for value in model.parameters())


def test_an_activation_of_a_user_is_named():
    own = fnn.Activation(np.sin, np.cos)
    with pytest.raises(ValueError, match=r"activation\[1\] is your own 'sin'.*nn\.Identity"):
        fnn.FNN((2, 3, 3, 2), activation=["relu", own]).to_torch()


def test_nested_models_flatten_and_layers_without_bias():
    block = nn.Sequential(nn.Linear(12, 8, bias=False), nn.Sequential(nn.Tanh(), nn.Identity()))
    model = sequential(nn.Flatten(), block, nn.Sequential(nn.Linear(8, 2)))
    assert difference(fnn.from_torch(model), model, samples(features=12).reshape(-1, 3, 4)) < 1e-5


@dtypes
def test_batch_normalization_of_other_settings_gives_equal_predictions(dtype):
    for options in ({"eps": 1e-3}, {"eps": 1e-8}, {"affine": False}, {"momentum": None}, {"momentum": 0.01}):
        model = sequential(nn.Linear(6, 4), nn.BatchNorm1d(4, **options), nn.ReLU(), nn.Linear(4, 2), dtype=dtype)
        net = fnn.from_torch(model)
        assert net.batch_norm and difference(net, model) < TOLERANCE[dtype]


@dtypes
def test_batch_normalization_elsewhere_is_folded_if_asked_for(dtype):
    model = sequential(
        *(nn.BatchNorm1d(6), nn.Linear(6, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Dropout(0.1)),
        *(nn.Linear(4, 4), nn.SiLU(), nn.Dropout(0.1), nn.Linear(4, 2), nn.BatchNorm1d(2), nn.Sigmoid()),
        dtype=dtype,
    )
    net = fnn.from_torch(model, fold_batch_norm=True)
    assert (net.batch_norm, net.dropout) == (False, 0.1)
    assert difference(net, model) < TOLERANCE[dtype]
    with pytest.raises(ValueError, match=r"model\[0\] \(BatchNorm1d\) must stand between.*fold_batch_norm=True"):
        fnn.from_torch(model)


def test_the_loss_of_a_model_of_logits_is_given():
    model = sequential(nn.Linear(6, 3))
    net = fnn.from_torch(model, loss=fnn.losses.SoftmaxCrossEntropy(label_smoothing=0.1))
    assert difference(net, nn.Sequential(model, nn.Softmax(dim=1))) < 1e-5
    net = fnn.from_torch(nn.Sequential(model[0], nn.LogSoftmax(dim=-1)), loss="softmax_cross_entropy")
    assert difference(net, nn.Sequential(model, nn.Softmax(dim=1))) < 1e-5


def test_the_model_is_not_changed():
    model = classifier(batch_norm=True)
    model.train()
    before = copy.deepcopy(model.state_dict())
    fnn.from_torch(model).fit(samples(), np.arange(50) % 3, epochs=1)
    assert model.training and all((value == before[name]).all() for name, value in model.state_dict().items())


class Doubled(nn.Sequential):
    def forward(self, x):
        return 2 * super().forward(x)


LINEAR = nn.Linear(4, 4)


@pytest.mark.parametrize(
    "modules, message",
    [
        ([LINEAR, nn.LeakyReLU(0.2), LINEAR], r"model\[1\] \(LeakyReLU\) must have negative_slope=0.01.*got 0.2"),
        ([LINEAR, nn.ELU(0.5), LINEAR], r"model\[1\] \(ELU\) must have alpha=1.0.*got 0.5"),
        ([LINEAR, nn.GELU("tanh"), LINEAR], r"model\[1\] \(GELU\) must have approximate='none'.*got 'tanh'"),
        ([LINEAR, nn.Softplus(beta=2), LINEAR], r"model\[1\] \(Softplus\) must have beta=1.0"),
        ([LINEAR, nn.Softplus(threshold=5), LINEAR], r"threshold of 20 or more, got 5"),
        ([LINEAR, nn.Softmax(dim=0)], r"model\[1\] \(Softmax\) must have dim=1"),
        (
            [LINEAR, nn.Sequential(nn.Mish()), LINEAR],
            r"model\[1\]\[0\] \(Mish\) has no counterpart.*takes Linear, Batch",
        ),
        ([nn.Conv1d(1, 1, 1)], r"model\[0\] \(Conv1d\) has no counterpart"),
        ([LINEAR, nn.Flatten(), LINEAR], r"model\[1\] \(Flatten\) must be the first layer"),
        ([nn.Flatten(0), LINEAR], r"model\[0\] \(Flatten\) must be the first layer, and flatten all"),
        ([LINEAR, nn.Dropout(0.1), LINEAR, nn.Dropout(0.2), LINEAR], r"model\[3\] \(Dropout\) must drop with.*0.1"),
        ([LINEAR, nn.BatchNorm1d(4, track_running_stats=False), LINEAR], r"model\[1\] .*track_running_stats=False"),
        ([LINEAR, nn.ReLU(), nn.BatchNorm1d(4), LINEAR], r"model\[2\] \(BatchNorm1d\) must stand between"),
        ([LINEAR, nn.LogSoftmax(dim=1)], r"model\[1\] \(LogSoftmax\) gives logarithms"),
        (
            [LINEAR, nn.Linear(4, 4, dtype=torch.float64)],
            r"model\[1\] \(Linear\) must have weights of float32, as before",
        ),
        ([nn.Linear(4, 4, dtype=torch.bfloat16)], r"model\[0\] \(Linear\).*got torch.bfloat16: see model.float\(\)"),
        ([nn.Flatten()], "model must have a layer with weights"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_map_is_named_with_its_place(modules, message):
    with pytest.raises(ValueError, match=re.compile(message, re.DOTALL)):
        fnn.from_torch(nn.Sequential(*modules))


def test_what_is_no_plain_sequential_is_refused():
    with pytest.raises(TypeError, match=r"nn\.Sequential, got Linear"):
        fnn.from_torch(LINEAR)
    with pytest.raises(TypeError, match=r"model\[0\] must be a plain nn\.Sequential, got Doubled"):
        fnn.from_torch(nn.Sequential(Doubled(LINEAR)))


def test_a_weight_that_pytorch_computes_is_no_plain_linear():
    linear = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
    with pytest.raises(ValueError, match=r"model\[0\] \(ParametrizedLinear\) has no counterpart"):
        fnn.from_torch(nn.Sequential(linear))
