"""The scenario decides what counts as a failure, not the status code."""

from loadgen import HttpUser, between, task


class Critic(HttpUser):
    wait_time = between(0.05, 0.2)

    @task(5)
    def a_good_answer_has_an_id(self):
        with self.client.get("/item", catch_response=True) as response:
            if "id" not in response.json():
                response.failure("no id in the answer")
            elif response.elapsed.total_seconds() > 2:
                response.failure("too slow to be useful")

    @task(1)
    def a_missing_page_is_what_we_want_here(self):
        with self.client.get("/status/404", name="a page that must not exist", catch_response=True) as response:
            if response.status_code == 404:
                response.success()
            else:
                response.failure(f"expected 404, got {response.status_code}")
