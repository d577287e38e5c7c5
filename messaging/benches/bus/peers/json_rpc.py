"""JSON-RPC 2.0 over HTTP by jsonrpclib-pelix, without a broker."""

from jsonrpclib import ServerProxy
from jsonrpclib.SimpleJSONRPCServer import SimpleJSONRPCRequestHandler, SimpleJSONRPCServer

import over_http

if __name__ == "__main__":
    over_http.main(SimpleJSONRPCServer, SimpleJSONRPCRequestHandler, ServerProxy)
