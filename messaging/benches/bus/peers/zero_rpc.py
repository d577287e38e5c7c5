"""zerorpc, without a broker: MessagePack over ZeroMQ, in gevent's green threads, which share one client."""

from gevent import monkey

monkey.patch_all()

import gevent
import zerorpc

import measuring


def serve(url, service, servers):
    server = zerorpc.Server(service)
    server.bind(url)
    gevent.spawn(server.run)


def connect(url, servers):
    client = zerorpc.Client()
    client.connect(url)
    return client


if __name__ == "__main__":
    measuring.main(serve, connect)
