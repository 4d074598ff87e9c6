"""A customer's strict firewall, on the lab's router: what passes, a proxy, a portal, an interception of TLS.

Each is a context manager that leaves the router as it was. The programs are real:
nftables, tinyproxy, stunnel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.host import wait_until
from tests.lab.process import Program
from tests.lab.router import Router
from tests.lab.topology import RDV

PROXY_PORT = 3128
INTERCEPT_PORT = 8443
PORTAL_PORT = 8080
PORTAL_URL = "http://portal.hotel.example/sign-in"

_PASS = """
table inet strict {{
    chain forward {{
        type filter hook forward priority filter - 1;
        iifname "lan" oifname "wan" {passing} accept
        iifname "lan" oifname "wan" drop
    }}
    chain input {{
        type filter hook input priority filter - 1;
        {input}
    }}
}}
"""
_NO_DNS = """
table inet strict {
    chain input {
        type filter hook input priority filter - 1;
        meta l4proto { tcp, udp } th dport 53 drop
    }
}
"""
_INTERCEPT = f"""
table inet strict {{
    chain arrive {{
        type nat hook prerouting priority dstnat;
        iifname "lan" tcp dport 443 redirect to :{INTERCEPT_PORT}
    }}
    chain forward {{
        type filter hook forward priority filter - 1;
        iifname "lan" oifname "wan" drop
    }}
}}
"""
_PORTAL = f"""
table inet strict {{
    chain arrive {{
        type nat hook prerouting priority dstnat;
        iifname "lan" tcp dport 80 redirect to :{PORTAL_PORT}
    }}
    chain forward {{
        type filter hook forward priority filter - 1;
        iifname "lan" oifname "wan" drop
    }}
}}
"""
_PORTAL_PROGRAM = f"""
from http.server import BaseHTTPRequestHandler, HTTPServer

class Portal(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302)
        self.send_header("Location", "{PORTAL_URL}")
        self.end_headers()

HTTPServer(("", {PORTAL_PORT}), Portal).serve_forever()
"""
_TINYPROXY = """
Port {port}
Listen {address}
User nobody
Group nogroup
LogFile "{path}/proxy.log"
LogLevel Connect
DisableViaHeader Yes
ConnectPort {passes}
BasicAuth {user} {password}
"""
_STUNNEL = """
foreground = yes
pid =
syslog = no
debug = notice
[seen]
accept = {port}
connect = 127.0.0.1:8444
cert = {path}/intercept.pem
[onward]
client = yes
accept = 127.0.0.1:8444
connect = {rdv}:443
"""


@contextmanager
def rules(router: Router, text: str) -> Iterator[None]:
    """One table more; what was connected before is cut off by it as well."""
    router.run(["nft", "-f", "-"], stdin=text)
    try:
        yield
    finally:
        router.run(["nft", "delete", "table", "inet", "strict"])


@contextmanager
def no_dns(router: Router) -> Iterator[None]:
    """Nobody answers where the LAN's DNS server was."""
    with rules(router, _NO_DNS):
        yield


@contextmanager
def nothing_out(router: Router) -> Iterator[None]:
    """Names are resolved, and all that is sent out is dropped without a word."""
    with rules(router, _PASS.format(passing="udp dport 0", input="")):
        yield


@contextmanager
def captive_portal(router: Router) -> Iterator[None]:
    """Nothing passes before a sign-in, and whoever asks for a web page is sent to the portal's."""
    with router.start(["/usr/bin/python3", "-c", _PORTAL_PROGRAM]):
        _wait_listening(router, PORTAL_PORT)
        with rules(router, _PORTAL):
            yield


@contextmanager
def only_https(router: Router) -> Iterator[None]:
    """Everything but TCP to port 443 is dropped without a word."""
    with rules(router, _PASS.format(passing="tcp dport 443", input="")):
        yield


@contextmanager
def only_proxy(router: Router) -> Iterator[None]:
    """Nothing passes, no name is resolved; the proxy on the router itself is not in this."""
    with rules(router, _PASS.format(passing="udp dport 0", input='iifname "lan" udp dport 53 drop')):
        yield


@contextmanager
def proxy(router: Router, user: str, password: str, *, passes: int = 443) -> Iterator[Program]:
    """An HTTP proxy on the router, which wants to know who asks and lets CONNECT to one port through."""
    router.set_resolver("127.0.0.1")
    conf = router.path / "tinyproxy.conf"
    conf.write_text(
        _TINYPROXY.format(
            port=PROXY_PORT,
            address=router.lan.router.ip,
            path=router.path,
            passes=passes,
            user=user,
            password=password,
        )
    )
    log = router.path / "proxy.log"
    log.touch()
    log.chmod(0o666)
    with router.start(["tinyproxy", "-d", "-c", str(conf)]) as program:
        _wait_listening(router, PROXY_PORT)
        yield program


@contextmanager
def interception(router: Router, pem: str) -> Iterator[None]:
    """TLS is opened on the router and closed again, as inspection does; pem: key and certificate of that."""
    (router.path / "intercept.pem").write_text(pem)
    conf = router.path / "intercept.conf"
    conf.write_text(_STUNNEL.format(port=INTERCEPT_PORT, path=router.path, rdv=RDV.ip))
    with router.start(["stunnel4", str(conf)]) as program:
        program.wait_line("Configuration successful")
        _wait_listening(router, INTERCEPT_PORT)
        with rules(router, _INTERCEPT):
            yield


def _wait_listening(router: Router, port: int) -> None:
    listening = ["ss", "-H", "-l", "-n", "-t", f"sport = :{port}"]
    wait_until(lambda: router.run(listening).out, what=f"{router.name} listens on {port}")
