"""How do workers share jobs so that a crash loses none, and none is completed twice?

python examples/job_queue.py                                     on an etcd of its own
python examples/job_queue.py --endpoints localhost:2379          on yours
python examples/job_queue.py --endpoints localhost:2379 --prefix q/ --worker me

Three workers share 20 jobs. One job kills its worker the first time, another one every time; a
worker that was killed is started again.

The jobs are in a `WorkQueue`: a worker claims a job with the lease of its session, so the job is
free again --ttl seconds, and a little more, after its worker died. After --attempts attempts it is
moved to the dead letters.

Guaranteed: each job is done, or a dead letter, and its result is recorded once: by a transaction
that compares the claim, so a worker that was taken for dead and goes on changes nothing.
Not guaranteed: that the work itself is done once. A worker that dies after the work and before
the record has done it, and another does it again: let it be harmless to repeat.
"""

from __future__ import annotations

import asyncio
import os
import signal

import demonstration

from etcd_client import Client, Job, RevisionCompactedError, WorkQueue


async def work(client: Client, queue: WorkQueue, results: bytes, name: str, ttl: int) -> None:
    """Take one job after the other, until cancelled."""

    async def handle(job: Job) -> None:
        job_name = job.value.split()[0]
        label = f"{job_name.decode()}, attempt {job.attempt}"
        await do(job, label)
        txn, result = client.transactions, results + job_name
        recorded = await client.transaction(
            [job.ownership(), txn.version(result) == 0],
            [txn.put(result, f"by {name}, attempt {job.attempt}")],
        )
        print(f"{name} {'has done' if recorded.succeeded else 'came too late with'} {label}")

    await queue.work(handle, ttl=ttl)


async def do(job: Job, label: str) -> None:
    """The work itself; some jobs kill their worker."""
    await asyncio.sleep(0.05)
    kills_always = job.value.endswith(b"kills always")
    if kills_always or (job.value.endswith(b"kills once") and job.attempt == 1):
        print(f"SIGKILL by {label}")
        os.kill(os.getpid(), signal.SIGKILL)


async def keep_running(processes: demonstration.Processes, name: str) -> None:
    """Start a worker again whenever it ends."""
    while True:
        await (await processes.start(f"--worker={name}")).wait()


async def until_empty(client: Client, queue: WorkQueue) -> None:
    """Wait until each job is done, or a dead letter."""
    jobs = queue.name + b"/jobs/"
    while (left := await client.get_prefix(jobs, count_only=True)).count:
        try:
            await client.watch_prefix_once(jobs, start_revision=left.header.revision + 1)
        except RevisionCompactedError:  # it has changed
            pass


async def demonstrate(
    client: Client,
    queue: WorkQueue,
    results: bytes,
    processes: demonstration.Processes,
    jobs: int,
) -> bool:
    """Let three workers empty the queue; return whether each job is completed once."""
    for number in range(1, jobs + 1):
        kind = {2: "kills once", 3: "kills always"}.get(number, "is harmless")
        await queue.put(f"job-{number:02} {kind}".encode())
    async with processes:
        supervisors = [
            asyncio.create_task(keep_running(processes, name)) for name in ("anna", "ben", "carla")
        ]
        await until_empty(client, queue)
        for supervisor in supervisors:
            supervisor.cancel()
    done, dead = await client.get_prefix(results), await queue.dead()
    for result in done:
        print(f"  {result.key.removeprefix(results).decode()}: {result.value.decode()}")
    for value in dead.values():
        print(f"  {value.decode()}: a dead letter after {queue.attempts} attempts")
    once = all(result.version == 1 for result in done)
    print(f"{len(done)} of {jobs} jobs are done, {len(dead)} failed, each recorded once: {once}")
    return once and (len(done), len(dead)) == (jobs - 1, 1)


async def main() -> int:
    parser = demonstration.options("job-queue", __doc__)
    parser.add_argument("--jobs", type=int, default=20, help="3 or more (20)")
    parser.add_argument("--attempts", type=int, default=2, help="before a job has failed (2)")
    parser.add_argument("--worker", metavar="NAME", help="be one worker, until Ctrl-C")
    parser.add_argument("--ttl", type=int, default=2, help="seconds that a lease lives (2)")
    options = parser.parse_args()
    prefix = options.prefix.encode()
    results = prefix + b"results/"
    async with demonstration.etcd(options.endpoints) as endpoints:
        async with Client(endpoints=endpoints) as client:
            queue = client.work_queue(prefix + b"queue", attempts=options.attempts)
            if options.worker:
                await work(client, queue, results, options.worker, options.ttl)
            settings = {name: getattr(options, name) for name in ("prefix", "ttl", "attempts")}
            processes = demonstration.Processes(__file__, **settings, endpoints=endpoints)
            try:
                well = await demonstrate(client, queue, results, processes, options.jobs)
            finally:
                await client.delete_prefix(prefix)
    return 0 if well else 1


if __name__ == "__main__":
    demonstration.run(main)
