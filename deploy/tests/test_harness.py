"""The harness itself: a backend and an agent of this build find each other."""


def test_a_host_comes_up(start_backend, start_agent):
    backend = start_backend().login()
    start_agent(backend.url)
    host = backend.wait_for_host()
    assert host["collection"]["kind"] == "push"
