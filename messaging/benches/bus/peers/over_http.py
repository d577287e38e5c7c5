"""RPC over HTTP, without a broker: a thread for each connection, and connections that stay.

Each calling thread has a connection, as the client can be used by one at a time.
"""

import threading
from socketserver import ThreadingMixIn
from urllib.parse import urlsplit

import measuring


def main(server_class, handler_class, connect, **options):
    """`options` are the server's; `connect(url)` returns a client with the service's methods."""

    class Handler(handler_class):
        # The default, 1.0, would end the connection with each answer.
        protocol_version = "HTTP/1.1"

    class Server(ThreadingMixIn, server_class):
        daemon_threads = True
        # Hundreds connect at the same moment. The default is 5.
        request_queue_size = 512

    class Client(threading.local):
        def __init__(self, url):
            self._server = connect(url)

        def __getattr__(self, method):
            return getattr(self._server, method)

    def serve(url, service, servers):
        address = urlsplit(url)
        server = Server((address.hostname, address.port), Handler, logRequests=False, **options)
        server.register_instance(service)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    measuring.main(serve, lambda url, servers: Client(url))
