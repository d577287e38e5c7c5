"""Images as programs have them: found again, changed, read in pieces, imported, and shared."""

import hashlib
import io

import openstack

cloud = openstack.connect()
data = bytes(range(256)) * 5000
image = cloud.create_image('mine', data=data, disk_format='raw', container_format='bare', wait=True, k='v', tags=['t'])
assert image.status == 'active' and image.size == len(data) and image.hash_algo == 'sha512', image
assert image.hash_value == hashlib.sha512(data).hexdigest() and image.checksum == hashlib.md5(data).hexdigest()
assert cloud.image.find_image('mine').id == image.id
assert [found.id for found in cloud.image.images(tag='t', status='active')] == [image.id]
sink = io.BytesIO()
cloud.download_image('mine', output_file=sink)
assert sink.getvalue() == data
assert b''.join(cloud.image.download_image(image, stream=True).iter_content(100000)) == data
cloud.update_image_properties(image, k='w', min_ram=7)
assert cloud.image.get_image(image.id).min_ram == 7
cloud.image.deactivate_image(image)
cloud.image.reactivate_image(image)
cloud.image.add_tag(image, 'u')
member = cloud.image.add_member(image, member_id='some-project')
assert [m.member_id for m in cloud.image.members(image)] == ['some-project']
cloud.image.remove_member(member, image)
staged = cloud.image.create_image('staged', data=data, disk_format='raw', container_format='bare', use_import=True)
staged = cloud.image.get_image(staged.id)
assert staged.status == 'active' and staged.checksum == image.checksum, staged
assert len(list(cloud.image.images(limit=1, paginated=True))) == 5
cloud.image.delete_image(staged)
assert cloud.delete_image('mine', wait=True) and cloud.image.find_image('mine') is None
