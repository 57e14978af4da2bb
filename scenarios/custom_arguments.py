"""Options of the scenario's own: on the command line, in the environment, later in the dashboard's form.

loadgen run scenarios/custom_arguments.py -H http://localhost:8000 --basket-size 3 --tenant blue
"""

from loadgen import HttpUser, between, events, task


@events.init_command_line_parser.add_listener
def declare(parser, **_):
    parser.add_argument("--tenant", default="green", env_var="SHOP_TENANT", help="whose shop is loaded")
    parser.add_argument("--basket-size", type=int, default=1, help="items put in the basket each time")
    parser.add_argument("--api-key", default="", is_secret=True, help="sent as X-Api-Key, never shown")


class Buyer(HttpUser):
    wait_time = between(0.1, 0.3)

    def on_start(self):
        options = self.environment.parsed_options
        self.client.headers.update({"X-Tenant": options.tenant, "X-Api-Key": options.api_key})

    @task
    def fill_basket(self):
        for item in range(self.environment.parsed_options.basket_size):
            self.client.post("/basket", json={"item": item})
