"""Where searches run their fits: processes of joblib, threads, a cluster of Dask."""

import os

import pytest

THREADS = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}


@pytest.fixture(autouse=True)
def own_number_of_threads():
    """Dask leaves what it sets for its workers to this process, too, and to all processes that other tests start."""
    yield
    for name, value in THREADS.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@pytest.fixture(scope="session")
def cluster():
    """Two worker processes with one thread each, as on two cores or two machines."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def threads_of_dask():
    """A worker with two threads in this process, where nothing sets OMP_NUM_THREADS."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="session")
def processes_of_joblib():
    """Ends them, which joblib keeps for the next call."""
    yield
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)


@pytest.fixture(params=["loky", "threading", "dask"])
def backend(request):
    """A back-end of joblib, which is in force."""
    import joblib

    if request.param != "threading":
        request.getfixturevalue({"loky": "processes_of_joblib", "dask": "cluster"}[request.param])
    with joblib.parallel_config(request.param, n_jobs=2):
        yield request.param
