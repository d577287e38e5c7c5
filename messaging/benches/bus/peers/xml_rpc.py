"""XML-RPC of the standard library, without a broker."""

from xmlrpc.client import ServerProxy
from xmlrpc.server import SimpleXMLRPCRequestHandler, SimpleXMLRPCServer

import over_http

if __name__ == "__main__":
    over_http.main(
        SimpleXMLRPCServer,
        SimpleXMLRPCRequestHandler,
        lambda url: ServerProxy(url, allow_none=True),
        allow_none=True,
    )
