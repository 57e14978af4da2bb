"""Browsing as people do it: what comes next depends on where one is. The first task is where everyone starts."""

from loadgen import HttpUser, MarkovTaskSet, between, transition, transitions


class Browsing(MarkovTaskSet):
    @transitions({"category": 4, "search": 1})
    def home(self):
        self.client.get("/")

    @transition("product", weight=3)
    @transition("home")
    def category(self):
        self.client.get("/category/lamps")

    @transition("product")
    def search(self):
        self.client.get("/search", params={"q": "lamp"}, name="/search")

    @transitions(["category", ("home", 2)])
    def product(self):
        self.client.get(f"/product/{self.user.rng.randrange(500)}", name="/product/[id]")


class Visitor(HttpUser):
    wait_time = between(0.05, 0.2)
    tasks = [Browsing]
