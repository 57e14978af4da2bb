"""Listeners see what happens without being in its way: here they count slow answers and sum up at the end.

`request` and `test_stop` fire in every process that runs users, `quitting` in the one that started the run.
"""

import logging

from loadgen import HttpUser, between, events, task

SLOW_MS = 20
slow = {"/delay/5ms": 0, "/delay/30ms": 0}


@events.request.add_listener
def count_slow_answers(name, response_time, exception, **_):
    if exception is None and response_time > SLOW_MS:
        slow[name] += 1


@events.test_stop.add_listener
def tell(environment, **_):
    logging.info("answers slower than %d ms: %s", SLOW_MS, slow)


@events.quitting.add_listener
def fail_when_most_failed(environment, **_):
    if environment.stats.total.fail_ratio > 0.5:
        environment.process_exit_code = 1


class Watched(HttpUser):
    wait_time = between(0.05, 0.1)

    @task
    def quick(self):
        self.client.get("/delay/5ms")

    @task
    def slow(self):
        self.client.get("/delay/30ms")
