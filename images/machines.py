"""
What images boot from: the machines of QEMU, their firmware, and how the file is attached.

The direct way, `elf`, gives the ELF file to the machine, which enters it through its PVH note; firmware is passed by.
All other attachments are the ISO, or one of the formats made from it, as a CD or a disk on some controller. A firmware
boots from what it has a driver for, on machines that have a place for the controller: of what is allowed here every
combination is booted by tests/boot/matrix.py (`ninja matrix`). Of the disks nothing is written back (snapshot=on):
IDE disks cannot be read-only.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, NamedTuple

from tool import Failure

MACHINES = ("q35", "microvm", "pc")
FIRMWARES = ("bios", "uefi")
DIRECT = "elf"
OVMF = Path("/usr/share/ovmf/OVMF.fd")
OVMF_PACKAGE = "ovmf"
# What QEMU's drivers are called for each format: the ending of build/APP/APP.FORMAT.
DRIVERS = {"iso": "raw", "raw": "raw", "qcow2": "qcow2", "vhd": "vpc", "vhdx": "vhdx", "vmdk": "vmdk"}


class Attachment(NamedTuple):
    """devices: of QEMU, of which the last one holds the drive."""

    what: str
    devices: tuple[str, ...]
    machines: tuple[str, ...] = ("q35", "pc")
    firmwares: tuple[str, ...] = FIRMWARES
    cd: bool = False


ATTACHMENTS = {
    "cd": Attachment("CD: SATA on q35, IDE on pc", ("ide-cd",), cd=True),
    "cd-scsi": Attachment("CD, virtio-scsi", ("virtio-scsi-pci", "scsi-cd"), cd=True),
    "ide": Attachment("disk, IDE", ("ide-hd",), machines=("pc",)),
    "sata": Attachment("disk, SATA (AHCI)", ("ide-hd",), machines=("q35",)),
    "virtio-blk": Attachment("disk, virtio-blk", ("virtio-blk-pci",)),
    "virtio-blk-modern": Attachment("disk, virtio-blk without the older interface", ("virtio-blk-pci,disable-legacy=on",)),
    "virtio-scsi": Attachment("disk, virtio-scsi", ("virtio-scsi-pci", "scsi-hd")),
    "nvme": Attachment("disk, NVMe", ("nvme,serial=quire",)),
    "usb": Attachment("disk, USB 3", ("qemu-xhci", "usb-storage")),
    "pvscsi": Attachment("disk, VMware's PVSCSI", ("pvscsi", "scsi-hd"), firmwares=("bios",)),
    "lsi-sas": Attachment("disk, LSI SAS1068", ("mptsas1068", "scsi-hd"), firmwares=("bios",)),
}


class Boot(NamedTuple):
    """One way to boot."""

    machine: str
    firmware: str
    attach: str

    @property
    def is_direct(self) -> bool:
        return self.attach == DIRECT


def is_possible(boot: Boot) -> bool:
    if boot.is_direct:
        return boot.firmware == "bios"
    attachment = ATTACHMENTS[boot.attach]
    return boot.machine in attachment.machines and boot.firmware in attachment.firmwares


def every_boot() -> Iterator[Boot]:
    """The matrix without the direct way."""
    for attach in ATTACHMENTS:
        for machine in MACHINES:
            for firmware in FIRMWARES:
                if is_possible(boot := Boot(machine, firmware, attach)):
                    yield boot


def possible(machine: str, firmware: str) -> list[str]:
    return [name for name in (DIRECT, *ATTACHMENTS) if is_possible(Boot(machine, firmware, name))]


def check(boot: Boot) -> Boot:
    """The same if it is possible; else a Failure that says what there is."""
    if is_possible(boot):
        return boot
    there = possible(boot.machine, boot.firmware)
    if not there:
        raise Failure(f"--firmware {boot.firmware}: {boot.machine} has none; use --firmware bios, or --machine q35 or pc")
    if boot.is_direct:
        raise Failure(f"--firmware {boot.firmware} does not boot an ELF file; add --attach with one of {', '.join(there)}")
    raise Failure(
        f"--attach {boot.attach}: {boot.firmware.upper()} on {boot.machine} does not boot from that; there: {', '.join(there)}"
    )


def firmware_file(firmware: str) -> Path | None:
    """What QEMU's -bios names; None: its own."""
    if firmware != "uefi":
        return None
    if not OVMF.is_file():
        raise Failure(f"there is no UEFI firmware ({OVMF}): sudo apt-get install {OVMF_PACKAGE}")
    return OVMF


def quote_option(value: str | Path) -> str:
    """A value inside of one of QEMU's comma-separated options."""
    return str(value).replace(",", ",,")


def drive_arguments(attach: str, file: Path, driver: str) -> list[str]:
    """The file on its controller, from which the firmware is to boot."""
    attachment = ATTACHMENTS[attach]
    access = "media=cdrom,readonly=on" if attachment.cd else "snapshot=on"
    arguments = ["-drive", f"if=none,id=image,file={quote_option(file.absolute())},format={driver},{access}"]
    *controllers, last = attachment.devices
    for controller in controllers:
        arguments += ["-device", controller]
    return [*arguments, "-device", f"{last},drive=image,bootindex=0"]
