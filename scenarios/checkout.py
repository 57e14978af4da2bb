"""A purchase is a sequence: the steps run in the order they are written, then the user goes on browsing."""

from loadgen import HttpUser, SequentialTaskSet, between, task


class Purchase(SequentialTaskSet):
    @task
    def fill_the_cart(self):
        response = self.client.post("/cart", json={"item": 7, "count": 1})
        self.order = response.json()["id"]

    @task
    def pay(self):
        response = self.client.post(f"/order/{self.order}/pay", name="/order/[id]/pay")
        self.user.check("order id returned", "id" in response.json())

    @task
    def leave(self):
        self.interrupt()  # without it the sequence would begin again


class Shopper(HttpUser):
    wait_time = between(0.05, 0.2)
    tasks = {Purchase: 1}

    @task(4)
    def browse(self):
        self.client.get("/catalogue")
