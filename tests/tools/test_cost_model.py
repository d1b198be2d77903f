"""The cost model of tools/scaling_model.py, its fit and its tables; and one short measurement with mpiexec."""

import itertools
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from programs import TOOLS, tool

if not TOOLS.is_dir():
    pytest.skip("the tools are not beside the tests", allow_module_level=True)
pytest.importorskip("matplotlib", reason="needs fastfnn[plot]")

model, fit, tables, pages, scaling = map(
    tool, ("scaling_model", "scaling_fit", "scaling_tables", "site_scaling", "scaling")
)

LARGE = model.Network((784, 2048, 2048, 10))
SMALL = model.Network((30, 64, 64, 1))
WORK = model.Work(1e-11, 2e-11, 1e-10, 2e-10, 1e-6)
MACHINE = model.Machine(cores=16, cache=32 << 20, streams=4.0, barrier=1e-7)
LINK = model.Link(1e-5, 1e-9, 1e-10)


# Cores


def test_work_is_counted_layer_by_layer():
    network = model.Network((3, 4, 5))
    assert network.parameters == 4 * 4 + 5 * 5
    assert network.operations(10) == 2 * 10 * (2 * 12 + 3 * 20)  # the first layer needs no gradient of its input
    assert network.elements(10) == 90
    assert network.traffic(10, model.STEP) - network.traffic(10, model.GRADIENT) == 4 * network.parameters
    assert network.barriers == 5


def test_a_step_of_one_thread_is_the_sum_of_its_costs():
    batch, traffic = 100, SMALL.traffic(100, model.STEP)
    want = 1e-11 * SMALL.operations(batch) + 2e-11 * traffic + 2e-10 * SMALL.elements(batch) + 1e-6
    assert model.seconds_on(WORK, SMALL, batch, MACHINE, 1) == pytest.approx(want)
    beyond = model.seconds_on(WORK, SMALL, batch, MACHINE._replace(cache=0), 1)
    assert beyond == pytest.approx(want + 1e-10 * traffic)


def test_threads_divide_work_but_share_the_memory():
    no_waits = MACHINE._replace(barrier=0.0)
    work = model.Work(0, 0, 1e-10, 0, 0)
    one, four, sixteen = (model.seconds_on(work, LARGE, 100, no_waits, count) for count in (1, 4, 16))
    assert four == pytest.approx(one / 4) and sixteen == pytest.approx(one / 4)
    two_processes = model.seconds_on(work, LARGE, 100, no_waits._replace(streams=1), 1, processes=2)
    assert two_processes == pytest.approx(2 * one)
    work = model.Work(1e-11, 1e-11, 0, 1e-10, 0)
    assert model.seconds_on(work, LARGE, 100, no_waits, 16) * 16 == pytest.approx(
        model.seconds_on(work, LARGE, 100, no_waits, 1)
    )


def test_barriers_take_longer_with_more_threads():
    work = model.Work(0, 0, 0, 0, 0)
    two, eight = (model.seconds_on(work, LARGE, 1, MACHINE, count) for count in (2, 8))
    assert two == pytest.approx(LARGE.barriers * MACHINE.barrier) and eight == pytest.approx(4 * two)


@pytest.mark.parametrize("network", [SMALL, LARGE])
@pytest.mark.parametrize("batch", [1, 100, 10_000])
def test_more_cores_never_make_a_step_slower(network, batch):
    slow = MACHINE._replace(barrier=1e-5)
    times = [model.fastest_seconds(WORK, network, batch, slow._replace(cores=count)) for count in range(1, 17)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(times))
    assert times[0] == model.seconds_on(WORK, network, batch, slow, 1)


def test_the_serial_share_is_that_of_amdahl():
    assert model.amdahl(0.1, 16) == pytest.approx(6.4)
    assert model.serial_share(1.0, 1 / model.amdahl(0.1, 2), 2) == pytest.approx(0.1)


# Machines


def test_a_sum_takes_the_faster_algorithm():
    short, long = 4, 1 << 26
    assert model.allreduce_seconds(short, 8, LINK) == pytest.approx(3 * (1e-5 + short * 1.1e-9))
    want = 6e-5 + 7 / 8 * long * (2e-9 + 1e-10)
    assert model.allreduce_seconds(long, 8, LINK) == pytest.approx(want)
    assert model.allreduce_seconds(short, 9, LINK) > model.allreduce_seconds(short, 8, LINK)
    assert model.allreduce_seconds(long, 1, LINK) == 0


def test_averages_divide_the_time_of_the_sum():
    every, seldom = (
        model.data_parallel_seconds(lambda batch: batch, 1 << 20, 80, 8, LINK, steps) - 10 for steps in (1, 5)
    )
    assert every == pytest.approx(5 * seldom) and every > 0


def test_half_of_the_time_is_work_at_the_break_even_batch():
    reduction = 0.01
    batch = model.break_even_batch(lambda batch: 1e-3 + 1e-5 * batch, reduction)
    assert batch == pytest.approx(900, rel=2e-3)
    assert model.break_even_batch(lambda batch: 1 + batch, reduction) == 0


def test_averages_keep_their_share():
    assert model.steps_between(1.0, 5.0, 0.1) == 50
    assert model.steps_between(1.0, 0.01, 0.1) == 1


# Fits


def test_fits_find_the_costs_that_made_the_times():
    cases = [
        (network, batch, passes, model.seconds_on(WORK, network, batch, MACHINE, 1, passes))
        for network in (SMALL, LARGE, model.Network((784, 50, 10)))
        for batch in (10, 100, 1000)
        for passes in (model.GRADIENT, model.STEP)
    ]
    assert model.fitted_work(cases, MACHINE.cache) == pytest.approx(WORK, rel=1e-6)


def test_costs_are_not_negative():
    features = np.array([[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]])
    costs = model.fitted_costs(features, [1.0, 0.9, 0.8])  # a line that falls
    assert costs[0] == 0 and 0.8 < costs[1] < 1


@pytest.mark.parametrize("machines", [2, 4, 64])
def test_fits_find_latency_and_bandwidth(machines):
    link = model.Link(3e-6, 2e-10)
    sums = [(4**power, model.allreduce_seconds(4**power, machines, link)) for power in range(1, 13)]
    assert model.fitted_link(machines, sums) == pytest.approx(link, rel=1e-6)


# Recordings


def recording(link=None):
    """What a machine of 2 cores would record whose steps take exactly as long as the model says."""
    link, machine = link or model.Link(3e-6, 2e-10), MACHINE._replace(cores=2, streams=1.5)
    networks = {"small": SMALL, "large": LARGE}
    chosen = [(name, network, batch) for name, network in networks.items() for batch in (16, 128, 1024)]

    def us(seconds):
        return {"median_us": 1e6 * seconds, "p99_us": 2e6 * seconds}

    def step(network, batch, ranks):
        running = min(ranks, 2)
        local = model.seconds_on(WORK, network, batch / ranks, machine, 1, model.GRADIENT, running) + update(network)
        return local * ranks / running + (
            model.allreduce_seconds(4 * network.parameters, ranks, link) if ranks > 1 else 0
        )

    def update(network):
        return 1e-6 + 1e-10 * network.parameters

    def entry(ranks):
        sizes = (4, 1024, 1 << 16, 1 << 20, 1 << 24)
        sums = [{"bytes": size, **us(model.allreduce_seconds(size, ranks, link))} for size in sizes]
        cases = [
            {
                **{"name": name, "layers": list(network.layers), "batch_size": batch},
                "gradient": us(model.seconds_on(WORK, network, batch / ranks, machine, 1, model.GRADIENT)),
                **{"update": us(update(network)), "step": us(step(network, batch, ranks))},
            }
            for name, network, batch in chosen
        ]
        return {"ranks": ranks, "allreduce": sums, "cases": cases}

    def on_threads(network, batch):
        return [
            {"threads": count, **us(model.fastest_seconds(WORK, network, batch, machine._replace(cores=count)))}
            for count in (1, 2)
        ]

    threads = [
        {
            "threads": count,
            "peak_gflops": 200.0 * count,
            "bandwidth_gbs": speed,
            "barrier_us": barrier,
            "region_us": 0.5,
        }
        for count, speed, barrier in ((1, 20.0, 0.0), (2, 30.0, 0.1))
    ]
    cases = [
        {"name": name, "layers": list(network.layers), "batch_size": batch, "steps": on_threads(network, batch)}
        for name, network, batch in chosen
    ]
    return {
        **{"date": "2026-01-31", "versions": {"fastfnn": "0.3.0"}, "settings": {}, "threads": threads, "cases": cases},
        "machine": {"cpu": "A *processor*", "cores": 2, "system": "a system", "cache_bytes": 32 << 20},
        "ranks": [entry(ranks) for ranks in (1, 2, 4)],
    }


@pytest.fixture(scope="module")
def exact():
    return fit.fitted(recording())


def test_a_recording_that_follows_the_model_has_no_errors(exact):
    assert exact.work == pytest.approx(WORK, rel=1e-5)
    assert exact.links[4] == pytest.approx(model.Link(3e-6, 2e-10), rel=1e-5)
    for table in (tables.threads(exact), tables.ranks(exact), tables.sums(exact)):
        off = [cell.rpartition(", ")[2] for row in table.rows for cell in row if ", " in cell]
        assert len(off) >= 10 and set(off) <= {"+0 %", "-0 %"}, table.title


def test_slower_steps_show_as_errors():
    result = recording()
    result["ranks"][2]["cases"][0]["step"]["median_us"] *= 2
    assert tables.ranks(fit.fitted(result)).rows[0][4].endswith(", -50 %")


def test_what_data_parallel_steps_take_besides_their_parts_is_fitted():
    result = recording()
    for case in result["ranks"][1]["cases"]:
        case["step"]["median_us"] += 15 + 1e-4 * 4 * case["batch_size"] / 2 * case["layers"][0]
    found = fit.fitted(result)
    assert found.own == pytest.approx((15e-6, 1e-10), rel=1e-3)
    assert {row[3].rpartition(", ")[2] for row in tables.ranks(found).rows} <= {"+0 %", "-0 %"}
    assert found.local(SMALL, MACHINE)(10) > fit.fitted(recording()).local(SMALL, MACHINE)(10) + 15e-6


def test_predictions_end_at_the_samples_of_a_batch(exact):
    link = exact.link(fit.RDMA)
    assert fit.powers(100) == [1, 2, 4, 8, 16, 32, 64] and fit.powers(10**9)[-1] == 1024
    count, ratio = fit.paying(exact, LARGE, 8192, link)
    assert count > 1 and ratio >= count / 2
    after = fit.speed_up(exact, LARGE, 8192, 2 * count, link)
    assert after < count or count == 1024
    assert fit.fastest(exact, LARGE, 8192, link)[1] >= ratio


def test_a_machine_that_is_not_worth_it_is_not_counted(exact):
    slow = model.Link(1.0, 1e-3)
    assert fit.paying(exact, SMALL, 8192, slow) == (1, 1.0) == fit.fastest(exact, SMALL, 8192, slow)


def test_every_table_is_printed(exact):
    said = tables.report(exact)
    for table in tables.every_table(exact):
        assert table.title in said and len({len(row) for row in [table.head, *table.rows]}) == 1
    assert "nan" not in said and "inf" not in said


def test_a_region_that_could_not_be_measured_has_no_figure():
    result = recording()
    result["threads"][1]["region_us"] = None
    assert ["a parallel region, 2 threads", "", "measured"] in tables.costs(fit.fitted(result)).rows


def test_labels_stay_apart_and_in_order():
    places = pages.apart({"a": 10.0, "b": 1.0, "c": 10.1}, 2.0, False)
    assert list(places) == ["a", "b", "c"] and places["b"] == 1
    assert places["c"] - places["a"] >= 1.99 and places["a"] < 10 < places["c"]
    logs = pages.apart({"a": 1.0, "b": 1.0}, math.log(2), True)
    assert logs["b"] / logs["a"] == pytest.approx(2, rel=0.01)


@pytest.fixture(scope="module")
def recorded():
    return pages.newest()[1]


def test_what_the_page_says_in_words_is_true_of_the_recording(recorded):
    *_, large = recorded.networks.values()
    small = next(iter(recorded.networks.values()))
    for name in fit.LINKS:
        link = recorded.link(name)
        few, many = (fit.even_batch(recorded, large, recorded.machine, count, link) for count in (8, 1024))
        rule = 8 * link.per_byte * recorded.machine.cores / (6 * recorded.work.per_operation)
        assert many < 2 * max(few, rule), "the break-even batch of a large network hardly depends on the machines"
        assert fit.even_batch(recorded, small, recorded.machine, 1024, link) > rule, "small networks need more"
    slow = recorded.link(fit.TCP)
    for network in (small, large):
        most, _ = fit.paying(recorded, network, 8192, slow)
        fewer, _ = fit.paying(recorded, network, 100, slow)
        assert fewer < most, "what counts is the number of samples for each machine"


# One measurement


@pytest.mark.jit
def test_a_short_measurement_can_be_modelled(tmp_path, monkeypatch):
    pytest.importorskip("mpi4py", reason="needs fastfnn[mpi]")
    if not (Path(sys.executable).with_name("mpiexec").exists() or shutil.which("mpiexec")):
        pytest.skip("there is no mpiexec")
    threads = tool("scaling_threads")
    monkeypatch.setattr(threads, "ROUNDS", 10)
    cases = [tool("scaling_cases").Case(name, (4, width, 2), 8) for name, width in (("narrow", 3), ("wide", 64))]
    monkeypatch.setattr(scaling.fnn.backend.threads, "max_threads", lambda: 2)
    result = scaling.measure(cases, rounds=5, seconds=0.001, patience=0.01, sizes=(4, 1 << 16), most_ranks=2)
    result = json.loads(json.dumps(result))
    assert [entry["ranks"] for entry in result["ranks"]] == [1, 2]
    assert set(pages.KEYS) <= set(result)
    for entry in result["ranks"]:
        for case in entry["cases"]:
            assert all(0 < case[part]["median_us"] <= case[part]["p99_us"] for part in ("gradient", "update", "step"))
    for case in result["cases"]:
        assert [step["threads"] for step in case["steps"]] == [1, 2]
    assert "Speed-up" in tables.report(fit.fitted(result))
