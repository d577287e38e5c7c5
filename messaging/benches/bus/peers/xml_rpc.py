"""XML-RPC of the standard library, without a broker: a thread for each connection, and connections that stay.

Each calling thread has a connection, as the client can be used by one at a time.
"""

import threading
from socketserver import ThreadingMixIn
from urllib.parse import urlsplit
from xmlrpc.client import ServerProxy
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

import measuring


class Handler(SimpleXMLRPCRequestHandler):
    # The default, 1.0, would end the connection with each answer.
    protocol_version = "HTTP/1.1"


class Server(ThreadingMixIn, SimpleXMLRPCServer):
    daemon_threads = True
    # Hundreds connect at the same moment. The default is 5.
    request_queue_size = 512


def serve(url, service, servers):
    address = urlsplit(url)
    server = Server((address.hostname, address.port), Handler, logRequests=False, allow_none=True)
    server.register_instance(service)
    threading.Thread(target=server.serve_forever, daemon=True).start()


class Client(threading.local):
    def __init__(self, url):
        self._server = ServerProxy(url, allow_none=True)

    def __getattr__(self, method):
        return getattr(self._server, method)


if __name__ == "__main__":
    measuring.main(serve, lambda url, servers: Client(url))
