#!/usr/bin/env python3
"""Disk images of each format, small and made by hand, with the manifest that Tempest reads them by: images.py FOLDER."""
import os
import struct
import sys

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def put(data, at, what):
    data[at:at + len(what)] = what


def qcow2(version=3, backing_file=0, features=0):
    data = bytearray(64 * KIB)
    put(data, 0, struct.pack('>4sIQIIQ', b'QFI\xfb', version, backing_file, 0, 16, 1 * MIB))
    put(data, 72, struct.pack('>Q', features))
    return data


def vmdk(kind='monolithicSparse', extent='disk.vmdk'):
    data = bytearray(64 * KIB)
    put(data, 0, struct.pack('<4sIIQQQQIQQ', b'KDMV', 1, 3, 2048, 128, 1, 20, 512, 0, 21))
    text = '# Disk DescriptorFile\nversion=1\nCID=fffffffe\ncreateType="%s"\n\nRW 2048 SPARSE "%s"\n' % (kind, extent)
    put(data, 512, text.encode())
    return data


def vhd():
    data = bytearray(64 * KIB)
    put(data, 0, b'conectix')
    put(data, 40, struct.pack('>Q', 1 * MIB))
    return data


def vdi():
    data = bytearray(64 * KIB)
    put(data, 0x40, struct.pack('<I', 0xbeda107f))
    put(data, 0x170, struct.pack('<Q', 1 * MIB))
    return data


def iso():
    data = bytearray(64 * KIB)
    put(data, 32 * KIB, b'\x01CD001')
    put(data, 32 * KIB + 80, struct.pack('<I', 32))
    put(data, 32 * KIB + 128, struct.pack('<H', 2048))
    return data


def raw():
    return bytearray(b'\x07' * 64 * KIB)


IMAGES = [
    ('qcow2', 'qcow2', True, qcow2()),
    ('qcow2-old', 'qcow2', True, qcow2(version=2)),
    ('qcow2-backing-file', 'qcow2', False, qcow2(backing_file=512)),
    ('qcow2-data-file', 'qcow2', False, qcow2(features=4)),
    ('vmdk', 'vmdk', True, vmdk()),
    ('vmdk-flat', 'vmdk', False, vmdk(kind='monolithicFlat')),
    ('vmdk-elsewhere', 'vmdk', False, vmdk(extent='/etc/shadow')),
    ('vhd', 'vhd', True, vhd()),
    ('vdi', 'vdi', True, vdi()),
    ('iso', 'iso', True, iso()),
    ('raw', 'raw', True, raw()),
]

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
with open(os.path.join(folder, 'manifest.yaml'), 'w') as manifest:
    manifest.write('images:\n')
    for name, form, usable, data in IMAGES:
        filename = '%s.img' % name
        with open(os.path.join(folder, filename), 'wb') as image:
            image.write(data)
        manifest.write('- {name: %s, format: %s, filename: %s, usable: %s}\n' % (name, form, filename, str(usable).lower()))
