"""A text for Terraform, applied, looked at, changed, and destroyed, by somebody who is no administrator.

After each step everything that is there is read again. It must be as it was asked for, which is a plan without a
change, and nothing else about it may have changed than what the step is named to change.
"""

import sys

import openstack

from compute import Image, Instance, InterfaceAttachment, Keypair
from networking import (FloatingIP, FloatingIPAssociation, Network, Port, Router, RouterInterface, Rule, SecurityGroup,
                        Subnet)
from provider import Provider

PUBLIC_KEY = sys.argv[1]
# What follows from a server that takes a port, or leaves it.
ATTACHED = {'device_id', 'device_owner', 'dns_name', 'dns_assignment'}

cloud = openstack.connect(cloud='novella-demo')
provider = Provider(cloud)
resources = []


def make(kind, label, /, also=None, **asked):
    """Creates one and reads all. `also` says what else this changes: by the resource's label, which attributes."""
    one = kind(provider, label, **asked)
    resources.append(one)
    no_drift(f'create {label}', also)
    return one


def change(one, /, also=None, **asked):
    one.change(**asked)
    no_drift(f'change {one.label} to {asked}', also)


def destroy(one, also=None):
    one.delete()
    resources.remove(one)
    no_drift(f'destroy {one.label}', also)


def no_drift(step, also):
    also = dict(also or {})
    for one in resources:
        planned = one.differences()
        assert not planned, f'after {step}: the next plan would change {one.label}: {planned}'
        read = one.read()
        changed = {name for name in read if read[name] != one.state[name]}
        allowed = also.pop(one.label, set())
        assert changed <= allowed, f'after {step}: {one.label} was {one.state}, and is {read}'
        one.state = read
    assert not also, f'after {step}: there is no {also}'


def count():
    """How much there is that this user sees, to see that all is gone in the end."""
    network, compute = cloud.network, cloud.compute
    lists = [network.networks(), network.subnets(), network.ports(), network.routers(), network.ips(),
             network.security_groups(), network.security_group_rules(), compute.servers(), compute.keypairs(),
             cloud.image.images()]
    return [sorted(one.id for one in listed) for listed in lists]


# Listing brings the default group into being.
before = count()
public = cloud.network.find_network('public')

# Apply. What depends on nothing first, as Terraform goes through its graph.
keypair = make(Keypair, 'key', name='key', public_key=PUBLIC_KEY)
image = make(Image, 'image', name='image', container_format='bare', disk_format='raw', min_disk=1, min_ram=64,
             tags=['built'], data=bytes(range(256)) * 4096, properties={'os_distro': 'mine', 'hw_disk_bus': 'virtio'})
network = make(Network, 'network', name='net', description='of servers', admin_state_up=True, tags=['a', 'b'])
web = make(SecurityGroup, 'web', name='web', description='from everywhere', delete_default_rules=True, tags=['t'])
inner = make(SecurityGroup, 'inner', name='inner')
subnet = make(Subnet, 'subnet', network_id=network.id, name='sub', cidr='10.5.0.0/24',
              dns_nameservers=['9.9.9.9', '1.1.1.1'])
router = make(Router, 'router', name='router-of-net', external_network_id=public.id)
rules = [make(Rule, f'rule {number}', security_group_id=web.id, **rule) for number, rule in enumerate([
    {'direction': 'ingress', 'ethertype': 'IPv4', 'protocol': 'tcp', 'port_range_min': 22, 'port_range_max': 22,
     'remote_ip_prefix': '0.0.0.0/0', 'description': 'ssh'},
    {'direction': 'ingress', 'ethertype': 'IPv6', 'protocol': 'tcp', 'port_range_min': 80, 'port_range_max': 443},
    {'direction': 'ingress', 'ethertype': 'IPv4', 'protocol': 'icmp'},
    {'direction': 'ingress', 'ethertype': 'IPv4', 'remote_group_id': inner.id},
    {'direction': 'egress', 'ethertype': 'IPv4'}])]
interface = make(RouterInterface, 'interface', router_id=router.id, subnet_id=subnet.id)
port = make(Port, 'port', network_id=network.id, name='port', tags=['p'], security_group_ids=[web.id],
            fixed_ip=[{'subnet_id': subnet.id, 'ip_address': '10.5.0.50'}],
            allowed_address_pairs=[{'ip_address': '10.5.0.200'}])
spare = make(Port, 'spare', network_id=network.id, name='spare', security_group_ids=[web.id],
             fixed_ip=[{'subnet_id': subnet.id}])
instance = make(
    Instance, 'instance', name='server', image_id=image.id, flavor_name='m1.tiny', key_pair='key', tags=['one'],
    metadata={'role': 'web'}, security_groups=['web'], user_data=b'#cloud-config\n', power_state='active',
    network=[{'port': port.id}, {'uuid': network.id}], also={'port': ATTACHED})
attachment = make(InterfaceAttachment, 'attachment', instance_id=instance.id, port_id=spare.id,
                  also={'spare': ATTACHED})
floating = make(FloatingIP, 'floating', pool='public', description='of server', tags=['f'])
association = make(FloatingIPAssociation, 'association', floating_ip=floating.state['address'], port_id=port.id,
                   also={'floating': {'port_id', 'fixed_ip'}})

# What Compute says of it all in one answer.
server = cloud.compute.get_server(instance.id)
addresses = {(one['addr'], one['OS-EXT-IPS:type']) for one in server.addresses['net']}
interfaces = instance.state['interfaces']
assert interfaces[0]['fixed_ip_v4'] == '10.5.0.50' and interfaces[0]['mac'] == port.state['mac_address'], interfaces
assert addresses == {('10.5.0.50', 'fixed'), (interfaces[1]['fixed_ip_v4'], 'fixed'),
                     (spare.state['all_fixed_ips'][0], 'fixed'), (floating.state['address'], 'floating')}, addresses
assert list(server.addresses) == ['net'], server.addresses
assert len(list(cloud.network.ports(device_id=instance.id))) == 3
for one in [port, spare]:
    assert (one.state['device_id'], one.state['device_owner']) == (instance.id, 'compute:nova'), one.state

# Changes. Resizing is left out, since Compute does not have it yet.
change(network, description='')
change(network, tags=['b', 'c'])
change(subnet, dns_nameservers=['1.1.1.1'], name='sub2')
change(router, name='router2', tags=['r'])
change(port, allowed_address_pairs=[{'ip_address': '10.5.0.201'}, {'ip_address': '10.9.0.0/24'}], name='port2')
change(port, allowed_address_pairs=[])
change(image, min_ram=32, tags=['tried'], properties={'os_distro': 'ours', 'hw_vif_model': 'virtio'})
change(floating, description='')
change(instance, name='server2')
change(instance, metadata={'role': 'db', 'tier': '1'})
change(instance, metadata={'tier': '1'}, tags=['one', 'two'])
change(instance, power_state='shutoff')
change(instance, power_state='active')
# By the server: all its ports have it, of whomever they are.
both = {'all_security_group_ids'}
change(instance, security_groups=['web', 'inner'], also={'port': both, 'spare': both})
change(instance, security_groups=['web'], also={'port': both, 'spare': both})
# The group and what names it are changed by one text: the group has its new name when the server is asked for it.
web.change(name='www', description='from the world')
instance.change(security_groups=['www'])
no_drift('change web and instance', None)

# Destroy, from what depends to what is depended on.
destroy(association, also={'floating': {'port_id', 'fixed_ip'}})
destroy(floating)
destroy(attachment, also={'spare': ATTACHED})
destroy(instance, also={'port': ATTACHED})
for one in [port, spare]:
    assert (one.state['device_id'], one.state['device_owner']) == ('', ''), one.state
# Its name was in the addresses of the server as long as there was one.
change(network, name='renamed')
for one in [spare, port, interface, *rules, router, subnet, inner, web, network, image, keypair]:
    destroy(one)
assert count() == before, f'{count()} is left of {before}'
