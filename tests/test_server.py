"""The test server works as documented."""

import time
import urllib.request

from server import Server, counts_of, sent, server_process, status


def fetch(url, **headers):
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=60) as answer:
        return answer.status, answer.read()


def test_a_server_process_limits_its_speed_and_counts_bytes(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(bytes(10**6))
    with server_process(tmp_path, latency=0.05, connection_mb=10, total_mb=50) as url:
        began_s = time.monotonic()
        assert fetch(f"{url}/a/file") == (200, bytes(10**6))
        assert fetch(f"{url}/a/file", Range="bytes=5-9") == (206, bytes(5))
        assert time.monotonic() - began_s > 0.2  # two latencies, and 1 MB at 10 MB/s
        counts = counts_of(url)
        assert (counts["requests"], counts["bytes"], counts["bytes_again"]) == (2, 10**6 + 5, 5)
        assert counts["by_folder"] == {"a/file": 10**6 + 5}
        assert counts_of(url)["requests"] == 0


def test_scripts_apply_to_matching_requests(tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    with Server(tmp_path) as server:
        script = server.script(
            "a$", lambda answer: status(200, answer.body.upper())(answer), times=2, skip=1
        )
        assert [fetch(f"{server.url}/a")[1] for _ in range(4)] == [
            b"content",
            b"CONTENT",
            b"CONTENT",
            b"content",
        ]
        assert script.hits == 2
        server.script("a$", sent("endless"))
        assert len(fetch(f"{server.url}/a")[1]) >= 2**26
        server.end()
