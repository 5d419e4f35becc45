"""The CPU variant as a user has it: built, started, asked, broken, stopped and started again."""

import time

import httpx2
import pytest

from tests.containers.conftest import Containers

pytestmark = pytest.mark.containers

OURS = ("embed", "score", "generate", "orchestrator")
REACHES = (
    "import socket\ntry: socket.create_connection(('pypi.org', 443), 5); print('yes')\nexcept OSError: print('no')"
)
STATUS_OF = (
    "import urllib.request as u, urllib.error as e\n"
    "try: print(u.urlopen(u.Request({url!r}, headers={headers!r})).status)\n"
    "except e.HTTPError as error: print(error.code)"
)


def test_a_question_is_answered_with_its_source(containers: Containers) -> None:
    answer = containers.ask("Who replaced pump P-17?")
    assert "Ana Ruiz" in answer["answer"]
    assert answer["degraded"] == []
    assert [citation["url"] for citation in answer["citations"]] == ["/documents/pumps.txt"]


def test_a_document_can_be_uploaded(containers: Containers) -> None:
    document = {"text": "The canteen closes at 14:30 on Fridays.", "title": "Canteen"}
    job = httpx2.post(f"{containers.address}/documents", json=document).raise_for_status().json()["job_id"]
    deadline = time.monotonic() + 60
    while httpx2.get(f"{containers.address}/jobs/{job}").json()["state"] != "done":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "14:30" in containers.ask("When does the canteen close on Fridays?")["answer"]


def test_only_the_orchestrators_port_is_open_and_on_loopback(containers: Containers) -> None:
    bound = {
        (service, binding["HostIp"])
        for service in OURS
        for bindings in containers.compose.inspect(service)["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    }
    assert bound == {("orchestrator", "127.0.0.1")}


@pytest.mark.parametrize("service", OURS)
def test_a_container_can_neither_be_root_nor_write_to_its_image(containers: Containers, service: str) -> None:
    uid = containers.compose.python(service, "import os; print(os.getuid(), os.access('/usr/local/bin', os.W_OK))")
    assert uid == "10001 False"
    assert containers.compose.inspect(service)["HostConfig"]["ReadonlyRootfs"]


@pytest.mark.parametrize("service", ["embed", "score", "generate"])
def test_a_model_service_has_no_way_out(containers: Containers, service: str) -> None:
    if containers.compose.python("orchestrator", REACHES) != "yes":
        pytest.skip("NOT TESTED, this machine's containers reach nothing outside")
    assert containers.compose.python(service, REACHES) == "no"


def test_the_services_want_the_key_that_was_made(containers: Containers) -> None:
    url = "http://embed:8001/v1/models"
    key = containers.compose.python("orchestrator", "print(open('/keys/services').read())")
    assert len(key) >= 32
    without = STATUS_OF.format(url=url, headers={})
    having = STATUS_OF.format(url=url, headers={"Authorization": f"Bearer {key}"})
    assert containers.compose.python("orchestrator", without) == "401"
    assert containers.compose.python("orchestrator", having) == "200"


def test_health_is_the_status_not_the_connection(containers: Containers) -> None:
    """The check fails on a path that is answered, by 404."""
    check = "import subprocess; print(subprocess.run(['healthy.py', '8001', {path!r}], capture_output=True).returncode)"
    assert containers.compose.python("embed", check.format(path="/health")) == "0"
    assert containers.compose.python("embed", check.format(path="/no-such-path")) == "1"


def test_a_service_that_dies_is_started_again(containers: Containers) -> None:
    """`docker kill` would count as stopped by hand, so the process is killed under the container's init."""
    containers.compose("exec", "-T", "score", "sh", "-c", "kill -KILL $(cat /proc/1/task/1/children)")
    answer = containers.ask("Who replaced pump P-17?")
    assert "Ana Ruiz" in answer["answer"]
    deadline = time.monotonic() + 120
    while containers.ask("Who replaced pump P-17?")["degraded"]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert containers.compose.inspect("score")["RestartCount"] == 1


def test_what_was_indexed_outlives_the_containers(containers: Containers) -> None:
    """143: the orchestrator ends by the SIGTERM that it was sent, once it has drained; 137 would be a kill."""
    containers.compose("stop")
    ends = {service: containers.compose.inspect(service)["State"]["ExitCode"] for service in OURS}
    assert ends == {"embed": 0, "score": 0, "generate": 0, "orchestrator": 143}
    containers.compose("down")
    containers.compose("up", "--detach", "--wait", timeout_s=300)
    assert "27" in containers.ask("How many days of paid leave do employees get?")["answer"]
