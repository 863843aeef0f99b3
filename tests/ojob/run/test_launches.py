"""Launched jobs: on a pool, each with a handle, after its dependencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ojobchannels.manager import JobManager

if TYPE_CHECKING:
    from tests.ojob.conftest import Run


def test_a_launch_runs_and_returns_a_handle(run: Run) -> None:
    result, reported = run(
        """\
        jobs:
        - name: Child
          from: oJobManager Job Start
          to: oJobManager Job End
          args: {name: "child-{{n}}"}
          exec: return args["n"] * 2
        - name: Parent
          exec: |
            launches = [launch("Child", {"n": n}) for n in range(3)]
            log([each.result() for each in launches])
            log({each.state for each in launches})
            records = channel("oJobManager-jobs").get_all()
            log({r["runId"] for r in records} == {each.run_id for each in launches})
            log(sorted(r["name"] for r in records))
        todo: [oJobManager Init, Parent]
        """
    )
    assert [line for line in reported if line.startswith("Parent:")] == [
        "Parent: [0, 2, 4]",
        "Parent: {'completed'}",
        "Parent: True",
        "Parent: ['child-0', 'child-1', 'child-2']",
    ]
    assert result.exit_status == 0
    assert sum(outcome.launched for outcome in result.outcomes) == 3


def test_the_run_waits_for_launched_jobs_and_for_those_that_they_launch(run: Run) -> None:
    result, reported = run(
        """\
        jobs:
        - {name: Leaf, exec: log("leaf")}
        - {name: Branch, exec: "for n in range(3): launch('Leaf')"}
        - {name: Tree, exec: "for n in range(3): launch('Branch')"}
        todo: [Tree]
        """
    )
    assert reported.count("Leaf: leaf") == 9
    assert result.exit_status == 0


def test_a_failed_launch_fails_the_run_and_its_handle_raises(run: Run) -> None:
    result, reported = run(
        """\
        jobs:
        - {name: Child, exec: raise KeyError("x")}
        - name: Parent
          exec: |
            each = launch("Child")
            try:
                each.result()
            except KeyError as error:
                log("child raised", error, each.state)
        todo: [Parent]
        """
    )
    assert "Parent: child raised 'x' failed" in reported
    assert "Parent completed" in reported
    assert result.exit_status == 1


@pytest.mark.parametrize("threads", [1, 4])
def test_launched_jobs_wait_for_their_launched_dependencies(run: Run, threads: int) -> None:
    _, reported = run(
        f"""\
        ojob: {{numThreads: {threads}}}
        jobs:
        - {{name: Extract, exec: log("ran")}}
        - {{name: Transform, deps: Extract, exec: log("ran")}}
        - {{name: Load, deps: [Transform], exec: log("ran")}}
        - name: Coordinate
          exec: |
            for name in ("Extract", "Transform", "Load"):
                launch(name)
        todo: [Coordinate]
        """
    )
    assert [line for line in reported if line.endswith(": ran")] == [
        "Extract: ran",
        "Transform: ran",
        "Load: ran",
    ]


def test_a_job_that_depends_on_a_failed_launch_does_not_run_and_is_recorded(run: Run) -> None:
    result, reported = run(
        """\
        jobs:
        - {name: Extract, exec: 1/0}
        - name: Transform
          deps: Extract
          from: oJobManager Job Start
          args: {name: transform}
        - {name: Load, deps: Transform}
        - name: Coordinate
          exec: |
            launches = [launch(name) for name in ("Extract", "Transform", "Load")]
            launches[-1].wait()
            log([each.state for each in launches])
        - name: Look
          exec: |
            log([(r["name"], r["status"]) for r in channel("oJobManager-state").get_all()])
            log(channel("oJobManager-jobs").get_all(), "began")
        todo: [oJobManager Init, Coordinate, Look]
        """
    )
    assert "Coordinate: ['failed', 'depsfail', 'depsfail']" in reported
    assert "Transform depsfail (dependency 'Extract' failed)" in reported
    assert "Load depsfail (dependency 'Transform' did not run)" in reported
    assert "Look: [('transform', 'depsfail')]" in reported
    assert "Look: [] began" in reported
    assert result.exit_status == 1


def test_a_dependency_is_the_latest_launch_by_the_same_parent(run: Run) -> None:
    _, reported = run(
        """\
        jobs:
        - {name: First, exec: "1 / args['n']"}
        - {name: Second, deps: First, exec: "log('second of', args['of'])"}
        - name: Mends
          exec: |
            launch("First", {"n": 0})
            launch("First", {"n": 1})
            launch("Second", {"of": "mends"})
        - name: Breaks
          exec: |
            launch("First", {"n": 1})
            launch("First", {"n": 0})
            launch("Second", {"of": "breaks"})
        todo: [Mends, Breaks]
        """
    )
    assert {line for line in reported if line.startswith("Second")} == {
        "Second: second of mends",
        "Second completed",
        "Second depsfail (dependency 'First' failed)",
    }


def test_without_a_launch_of_the_dependency_its_status_in_the_todo_decides(run: Run) -> None:
    result, reported = run(
        """\
        jobs:
        - {name: Good}
        - {name: Bad, exec: 1/0}
        - {name: Never}
        - {name: After Good, deps: Good, exec: log("ran")}
        - {name: After Bad, deps: Bad, exec: log("ran")}
        - {name: After Never, deps: Never, exec: log("ran")}
        - {name: Parent, exec: "for n in ('Good', 'Bad', 'Never'): launch('After ' + n).wait()"}
        todo: [Good, Bad, Parent]
        """
    )
    assert reported[2:-1] == [
        "After Good: ran",
        "After Good completed",
        "After Bad depsfail (dependency 'Bad' failed)",
        "Parent: warn: launching 'After Never' although its dependency 'Never' has not run",
        "After Never: ran",
        "After Never completed",
    ]
    assert result.exit_status == 1


def test_a_launched_job_that_is_already_running_can_be_skipped(
    run: Run, manager: JobManager
) -> None:
    held = manager.start("batch-1")
    result, reported = run(
        """\
        jobs:
        - name: Child
          from: oJobManager Job Start
          to: oJobManager Job End
          catch: oJobManager Error
          args: {name: "batch-{{batchId}}", ifRunning: skip}
          exec: return args["batchId"]
        - name: Parent
          exec: |
            launches = [launch("Child", {"batchId": n}) for n in range(3)]
            log([(each.result(), each.state) for each in launches])
        todo: [Parent]
        """
    )
    held.end()
    assert "Parent: [(0, 'completed'), (None, 'skipped'), (2, 'completed')]" in reported
    assert result.exit_status == 0
    assert len(manager.runs(status="completed")) == 3


def test_launched_jobs_can_wait_for_their_own_launches_on_one_thread(run: Run) -> None:
    """Three levels deep, by `result`, by `wait` with and without a timeout, by `error`, and through
    `deps`."""
    result, reported = run(
        """\
        ojob: {numThreads: 1}
        jobs:
        - {name: Leaf, exec: "return 1"}
        - {name: After Leaf, deps: Leaf, exec: "return 10"}
        - name: Twig
          exec: |
            one, other = launch("Leaf"), launch("Leaf")
            while not one.wait(0.01):
                pass
            assert other.wait() and other.error is None
            return one.result() + other.result() + launch("After Leaf").result()
        - {name: Branch, exec: "return sum([launch('Twig').result() for _ in range(2)])"}
        - {name: Tree, exec: "log(sum([launch('Branch').result() for _ in range(2)]))"}
        - {name: Plant, exec: "launch('Tree'); launch('Tree')"}
        todo: [Plant]
        """
    )
    assert result.exit_status == 0
    assert [line for line in reported if line.startswith("Tree:")] == ["Tree: 48", "Tree: 48"]


def test_num_threads_limits_how_many_jobs_run_at_a_time(run: Run) -> None:
    """With one thread jobs run one after another; with three, all three can run at once."""
    meet = """\
        ojob: {numThreads: %s}
        jobs:
        - name: Child
          exec: |
            try:
                args["barrier"].wait(args["timeout"])
            except Exception as error:
                log(type(error).__name__)
        - name: Parent
          exec: |
            import threading
            barrier = threading.Barrier(3)
            for n in range(3):
                launch("Child", {"barrier": barrier, "timeout": args["timeout"]})
        todo: [{name: Parent, args: {timeout: %s}}]
        """
    _, reported = run(meet % (3, 60))
    assert "Child: BrokenBarrierError" not in reported
    _, reported = run(meet % (1, 0.05))
    assert reported.count("Child: BrokenBarrierError") == 3
