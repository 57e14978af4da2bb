"""Log in once when the user starts, carry the token on every request, log out when it stops."""

from loadgen import HttpUser, StopUser, between, task


class Customer(HttpUser):
    wait_time = between(0.1, 0.5)

    def on_start(self):
        response = self.client.post("/login", json={"user": "ada", "password": "lovelace"})
        if not response.ok:
            raise StopUser  # a user that could not log in would only measure error pages
        self.client.headers["Authorization"] = f"Bearer {response.json()['token']}"

    @task
    def look_at_account(self):
        self.client.get("/account")

    def on_stop(self):
        self.client.post("/logout")
