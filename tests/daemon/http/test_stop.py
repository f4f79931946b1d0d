"""Stopping the server by a request."""

from opstore_daemon import OpStoreServer
from opstore_daemon.protocol import routes
from tests.support.servers import ADMIN_TOKEN


def test_an_application_within_another_program_says_that_it_can_not_be_stopped(memory_server: OpStoreServer) -> None:
    client = memory_server.flask.test_client()
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    answer = client.post(routes.STOP, headers=headers)
    problem = answer.get_json()
    assert (answer.status_code, problem["code"]) == (409, "StopUnavailable")
    assert client.get(routes.STATUS, headers=headers).status_code == 200
