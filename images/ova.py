"""Open virtual appliances: a machine with one disk, as VMware and VirtualBox import it (DMTF DSP0243 1.1, OVF).

An OVA is a tar archive (ustar) of the description NAME.ovf, the manifest NAME.mf with the SHA-256 of the others, and
the disk, in this order. The machine is what both know: BIOS, an IDE disk, no network.
"""

import hashlib
import io
import re
import tarfile
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

from tool import Altered

MIB = 1 << 20
OVF = "http://schemas.dmtf.org/ovf/envelope/1"
RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
VSSD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
STREAM_OPTIMIZED = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
OTHER_64_BIT = 102  # CIM_OperatingSystem: "Other 64-Bit"
PROCESSOR, MEMORY, IDE, DISK = 3, 4, 5, 17  # CIM_ResourceAllocationSettingData: resource types


class Machine(NamedTuple):
    name: str
    cpus: int
    memory: int  # bytes


def item(number: int, kind: int, name: str, **more: object) -> str:
    """One piece of hardware; its elements in the order of their names, as the schema wants them."""
    elements = {"ElementName": name, "InstanceID": number, "ResourceType": kind, **more}
    rows = "".join(f"        <rasd:{key}>{escape(str(elements[key]))}</rasd:{key}>\n" for key in sorted(elements))
    return f"      <Item>\n{rows}      </Item>\n"


def describe(machine: Machine, disk: str, disk_bytes: int, capacity: int) -> bytes:
    """The OVF file. capacity: bytes that the machine sees."""
    name = escape(machine.name)
    memory = -(-machine.memory // MIB)
    hardware = item(1, PROCESSOR, f"{machine.cpus} virtual CPUs", AllocationUnits="hertz * 10^6", VirtualQuantity=machine.cpus)
    hardware += item(2, MEMORY, f"{memory} MiB of memory", AllocationUnits="byte * 2^20", VirtualQuantity=memory)
    hardware += item(3, IDE, "IDE controller", Address=0)
    hardware += item(4, DISK, "Disk", AddressOnParent=0, HostResource="ovf:/disk/disk", Parent=3)
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="{OVF}" xmlns:ovf="{OVF}" xmlns:rasd="{RASD}" xmlns:vssd="{VSSD}">
  <References>
    <File ovf:href="{escape(disk)}" ovf:id="file" ovf:size="{disk_bytes}"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="disk" ovf:fileRef="file" \
ovf:format="{STREAM_OPTIMIZED}"/>
  </DiskSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="{OTHER_64_BIT}">
      <Info>The kind of guest</Info>
      <Description>Other 64-bit</Description>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-13</vssd:VirtualSystemType>
      </System>
{hardware}    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
""".encode()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def make(machine: Machine, disk: bytes, capacity: int, time: int) -> bytes:
    """The archive. disk: a streamOptimized VMDK."""
    disk_name = f"{machine.name}-disk1.vmdk"
    ovf = describe(machine, disk_name, len(disk), capacity)
    named = {f"{machine.name}.ovf": ovf, disk_name: disk}
    manifest = "".join(f"SHA256({name})= {digest(data)}\n" for name, data in named.items()).encode()
    members = []
    for name, data in ((f"{machine.name}.ovf", ovf), (f"{machine.name}.mf", manifest), (disk_name, disk)):
        member = tarfile.TarInfo(name)
        member.size, member.mtime, member.mode = len(data), time, 0o644
        members.append((member, data))
    return packed(members)


def packed(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for member, data in members:
            archive.addfile(member, io.BytesIO(data))
    return output.getvalue()


def check(path: Path) -> None:
    """Compares all files of an archive with its manifest, and its bytes with those that they are packed to."""
    whole = path.read_bytes()
    try:
        with tarfile.open(fileobj=io.BytesIO(whole), mode="r:") as archive:
            members = [(member, archive.extractfile(member).read()) for member in archive if member.isreg() and not member.issparse()]
        repacked = packed(members)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise Altered(f"it is truncated or altered: {error}") from None
    found = {member.name: data for member, data in members}
    text = next((data for name, data in found.items() if name.endswith(".mf")), b"").decode(errors="replace")
    recorded = dict(re.findall(r"^SHA256\((.+)\)= ([0-9a-f]{64})$", text, re.MULTILINE))
    for name, data in found.items():
        if not name.endswith(".mf") and recorded.get(name) != digest(data):
            raise Altered(f"it was altered: the SHA-256 of {name} is not the one of its manifest")
    if repacked != whole:
        raise Altered("it is truncated or altered: it is not the archive that its files are packed to")
