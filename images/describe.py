#!/usr/bin/env python3
"""Describes an image to other launchers: files for libvirt, Firecracker, cloud-hypervisor, KubeVirt and Proxmox.

    images/describe.py --config build/APP/run.json --output build/APP/launch [libvirt,firecracker,...]      (all if none)

Each description has the memory, the CPUs and the program's arguments of the image's own (build/APP/run.json), and where
it has them the machine, the firmware and what the image is attached as. Firecracker and cloud-hypervisor enter the ELF
file through its PVH note, so the command line is theirs to pass; what boots the ISO gets the one that is built in.
What a launcher cannot express is refused, and then nothing is written; of all launchers those that cannot are left out.

The files are checked by tests/images/test_describe.py: libvirt's against its schema, the others by what they say. None of
them was run by the launcher that it is for, which need KVM or a cluster; each says so.
"""

from __future__ import annotations

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until everything is imported Ctrl-C just ends it

import argparse
import json
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Callable, NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import qemu
from machines import ATTACHMENTS, DIRECT
from qemu import Config, load_config
from report import format_size
from tool import Failure, core_line, core_words, run_main, write_output

MIB = 1 << 20
QEMU_NAMES = "http://libvirt.org/schemas/domain/qemu/1.0"
FIRECRACKER_LINE = 2048  # bytes of its command line, the end among them
FIRECRACKER_CPUS = 32
PROXMOX_LEAST = 16  # MiB
# Control characters, bytes that are no UTF-8, and what else XML cannot hold.
ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

# By attachment: libvirt's bus, and the model of the controller if it has to be said. It has no emulated NVMe disk.
LIBVIRT = {
    "cd": ("sata", ""), "cd-scsi": ("scsi", "virtio-scsi"), "ide": ("ide", ""), "sata": ("sata", ""),
    "virtio-blk": ("virtio", ""), "virtio-blk-modern": ("virtio", ""), "virtio-scsi": ("scsi", "virtio-scsi"),
    "usb": ("usb", "qemu-xhci"), "pvscsi": ("scsi", "vmpvscsi"), "lsi-sas": ("scsi", "lsisas1068"),
}  # fmt: skip
LIBVIRT_NAMES = {"virtio": "vda", "ide": "hda"}  # of the device; else sda
KUBEVIRT = {
    "cd": "sata", "cd-scsi": "scsi", "sata": "sata", "virtio-blk": "virtio", "virtio-blk-modern": "virtio",
    "virtio-scsi": "scsi", "usb": "usb",
}  # fmt: skip
# By attachment: Proxmox' slot, and its controller for SCSI.
PROXMOX = {
    "cd": ("ide2", ""), "cd-scsi": ("scsi0", "virtio-scsi-pci"), "ide": ("ide0", ""), "sata": ("sata0", ""),
    "virtio-blk": ("virtio0", ""), "virtio-blk-modern": ("virtio0", ""), "virtio-scsi": ("scsi0", "virtio-scsi-pci"),
    "pvscsi": ("scsi0", "pvscsi"),
}  # fmt: skip


def mebibytes(config: Config) -> int:
    return -(-config.memory // MIB)


def about(config: Config, launcher: str) -> str:
    cpus = f"{config.cpus} CPU{'s' if config.cpus > 1 else ''}"
    return f"{config.name} for {launcher}: {format_size(config.memory)} of RAM, {cpus}. Written by images/describe.py; not tried on {launcher}."


def passed_line(config: Config, launcher: str) -> str:
    """The command line for those who pass it. An image has its words and arguments built in: here they can be changed."""
    words = [*core_words("command_line", config.command_line), *(["--", *config.arguments] if config.arguments else [])]
    odd = next((word for word in words if ODD.search(word)), None)
    if odd is not None:
        raise Failure(f"{launcher} has no way to pass {odd!r}: its file holds UTF-8 without control characters")
    return core_line(words)


def attached(config: Config, launcher: str, known: dict, default: str) -> str:
    """What the image is attached as: its own way, or if that is the direct one the launcher's usual."""
    attach = default if config.attach == DIRECT else config.attach
    if attach not in known:
        raise Failure(f"{launcher} has no {ATTACHMENTS[attach].what}; configure with --attach and one of {', '.join(known)}")
    return attach


def no_devices(config: Config, launcher: str) -> None:
    if config.devices:
        raise Failure(f"{config.name} needs QEMU's device {config.devices[0]}, which {launcher} does not have")


def iso_of(config: Config) -> Path:
    if config.iso is None:
        raise Failure(f"{config.name} has no ISO file")
    return config.iso


def script(comment: str, *commands: list[str]) -> str:
    return "\n".join(["#!/bin/sh", f"# {comment}", "set -e", *(" ".join(command) for command in commands), ""])


# ---- libvirt ----


def libvirt_os(domain: Element, config: Config) -> None:
    machine = "pc" if config.machine == "pc" else "q35"  # it has no microvm
    uefi = {"firmware": "efi"} if config.firmware == "uefi" else {}
    system = SubElement(domain, "os", uefi)
    SubElement(system, "type", arch="x86_64", machine=machine).text = "hvm"
    if uefi:
        SubElement(SubElement(system, "firmware"), "feature", enabled="no", name="secure-boot")
    if config.attach == DIRECT:
        SubElement(system, "kernel").text = str(config.elf)
        if config.files:
            SubElement(system, "initrd").text = str(config.files)
        if line := passed_line(config, "libvirt"):
            SubElement(system, "cmdline").text = line


def libvirt_disk(devices: Element, config: Config) -> None:
    attach = attached(config, "libvirt", LIBVIRT, "cd")
    bus, model = LIBVIRT[attach]
    if attach == "cd" and config.machine == "pc":
        bus = "ide"
    disk = SubElement(devices, "disk", type="file", device="cdrom" if ATTACHMENTS[attach].cd else "disk")
    SubElement(disk, "driver", name="qemu", type="raw")
    SubElement(disk, "source", file=str(iso_of(config)))
    SubElement(disk, "target", dev=LIBVIRT_NAMES.get(bus, "sda"), bus=bus)
    if bus not in ("ide", "sata") or ATTACHMENTS[attach].cd:
        SubElement(disk, "readonly")
    SubElement(disk, "boot", order="1")
    if model:
        SubElement(devices, "controller", type=bus, index="0", model=model)


def libvirt_devices(domain: Element, config: Config) -> None:
    devices = SubElement(domain, "devices")
    if config.attach != DIRECT:
        libvirt_disk(devices, config)
    if config.attach != "usb":
        SubElement(devices, "controller", type="usb", model="none")
    serial = SubElement(devices, "serial", type="pty")
    SubElement(serial, "target", port="0")
    console = SubElement(devices, "console", type="pty")
    SubElement(console, "target", type="serial", port="0")
    SubElement(devices, "memballoon", model="none")


def libvirt_more(domain: Element, config: Config) -> None:
    """QEMU's devices that the application asks for, as they are."""
    if not config.devices:
        return
    line = SubElement(domain, f"{{{QEMU_NAMES}}}commandline")
    for device in config.devices:
        for word in ("-device", device):
            SubElement(line, f"{{{QEMU_NAMES}}}arg", value=word)


def libvirt(config: Config) -> dict[str, str]:
    ElementTree.register_namespace("qemu", QEMU_NAMES)
    emulated = config.accelerator == "tcg"
    domain = Element("domain", type="qemu" if emulated else "kvm")
    domain.append(ElementTree.Comment(f" {about(config, 'libvirt')} virsh create libvirt.xml && virsh console {config.name} "))
    SubElement(domain, "name").text = config.name
    SubElement(domain, "memory", unit="KiB").text = str(-(-config.memory >> 10))
    SubElement(domain, "vcpu").text = str(config.cpus)
    libvirt_os(domain, config)
    features = SubElement(domain, "features")
    SubElement(features, "acpi")
    SubElement(features, "apic")
    SubElement(domain, "cpu", mode="maximum" if emulated else "host-passthrough")
    for event in ("on_poweroff", "on_reboot", "on_crash"):
        SubElement(domain, event).text = "destroy"
    libvirt_devices(domain, config)
    libvirt_more(domain, config)
    ElementTree.indent(domain)
    return {"libvirt.xml": ElementTree.tostring(domain, encoding="unicode") + "\n"}


# ---- Firecracker, cloud-hypervisor ----


def firecracker(config: Config) -> dict[str, str]:
    """Without boot_args it passes Linux' own."""
    no_devices(config, "Firecracker")
    line = passed_line(config, "Firecracker")
    if len(line.encode()) >= FIRECRACKER_LINE:
        raise Failure(f"the command line has {len(line.encode())} bytes, and Firecracker takes {FIRECRACKER_LINE - 1}")
    if config.cpus > FIRECRACKER_CPUS:
        raise Failure(f"{config.name} has {config.cpus} CPUs, and Firecracker at most {FIRECRACKER_CPUS}")
    source = {"kernel_image_path": str(config.elf), "boot_args": line}
    source |= {"initrd_path": str(config.files)} if config.files else {}
    machine = {"vcpu_count": config.cpus, "mem_size_mib": mebibytes(config)}
    settings = {"boot-source": source, "drives": [], "machine-config": machine}
    command = ["exec firecracker --no-api --config-file", '"$(dirname "$0")/firecracker.json"', '"$@"']
    return {
        "firecracker.json": json.dumps(settings, indent=4) + "\n",
        "firecracker.sh": script(about(config, "Firecracker") + " It needs KVM.", command),
    }


def cloud_hypervisor(config: Config) -> dict[str, str]:
    """Its serial port is off by default."""
    no_devices(config, "cloud-hypervisor")
    command = ["cloud-hypervisor", "--kernel", str(config.elf)]
    command += ["--initramfs", str(config.files)] if config.files else []
    line = passed_line(config, "cloud-hypervisor")
    command += ["--cmdline", line] if line else []
    command += ["--cpus", f"boot={config.cpus}", "--memory", f"size={mebibytes(config)}M", "--serial", "tty", "--console", "off"]
    shown = script(about(config, "cloud-hypervisor") + " It needs KVM.", ["exec", shlex.join(command), '"$@"'])
    return {"cloud-hypervisor.sh": shown}


# ---- KubeVirt ----


def kubevirt(config: Config) -> dict[str, str]:
    """A string of JSON is one of YAML as well, so names are written as such."""
    no_devices(config, "KubeVirt")
    attach = attached(config, "KubeVirt", KUBEVIRT, "virtio-blk")
    name, iso = json.dumps(config.name), iso_of(config)
    kind = "cdrom" if ATTACHMENTS[attach].cd else "disk"
    firmware = "efi: {secureBoot: false}" if config.firmware == "uefi" else "bios: {}"
    yaml = f"""\
# {about(config, "KubeVirt")}
# Build and push the disk first (kubevirt.Containerfile says how), and put its name in place of REGISTRY.
apiVersion: kubevirt.io/v1
kind: VirtualMachine
metadata:
  name: {name}
spec:
  runStrategy: Once
  template:
    metadata:
      labels:
        kubevirt.io/domain: {name}
    spec:
      terminationGracePeriodSeconds: 0
      domain:
        machine:
          type: {"pc" if config.machine == "pc" else "q35"}
        firmware:
          bootloader:
            {firmware}
        cpu:
          cores: {config.cpus}
        memory:
          guest: {mebibytes(config)}Mi
        devices:
          autoattachGraphicsDevice: false
          autoattachMemBalloon: false
          autoattachPodInterface: false
          autoattachSerialConsole: true
          disks:
          - name: image
            bootOrder: 1
            {kind}:
              bus: {KUBEVIRT[attach]}
      volumes:
      - name: image
        containerDisk:
          image: REGISTRY/{config.name}:latest
"""
    container = f"""\
# {about(config, "KubeVirt")} In the folder of the image, {iso.parent}:
#     podman build -f launch/kubevirt.Containerfile -t REGISTRY/{config.name}:latest . && podman push REGISTRY/{config.name}:latest
# KubeVirt opens the one file in /disk as its user 107. The ISO is a raw disk.
FROM scratch
ADD --chown=107:107 {iso.name} /disk/{config.name}.img
"""
    return {"kubevirt.yaml": yaml, "kubevirt.Containerfile": container}


# ---- Proxmox ----


def proxmox_disk(config: Config) -> list[str]:
    attach = attached(config, "Proxmox", PROXMOX, "cd")
    slot, controller = PROXMOX[attach]
    iso = iso_of(config)
    source = f'"$STORAGE:0,import-from=$FOLDER/{config.name}.raw"'
    if ATTACHMENTS[attach].cd:
        source = f'"$ISOS:iso/{iso.name},media=cdrom"'
    return [f"--{slot}", source, "--boot", f"order={slot}", *(["--scsihw", controller] if controller else [])]


def proxmox(config: Config) -> dict[str, str]:
    """To be run on the host, where the file has been copied."""
    no_devices(config, "Proxmox")
    disk = proxmox_disk(config)
    iso = iso_of(config)
    is_cd = "media=cdrom" in disk[1]
    target = f"/var/lib/vz/template/iso/{iso.name}" if is_cd else f"{config.name}.raw"
    copy = f"First, from where it was built: scp {shlex.quote(str(iso))} root@HOST:{target}"
    firmware = ["--bios", "seabios"]
    if config.firmware == "uefi":
        firmware = ["--bios", "ovmf", "--efidisk0", '"$STORAGE:1,efitype=4m,pre-enrolled-keys=0"']
    create = ["qm create", '"$VMID"', "--name", config.name, "--ostype", "other"]
    create += ["--memory", str(max(mebibytes(config), PROXMOX_LEAST)), "--balloon", "0", "--cores", str(config.cpus), "--cpu", "host"]
    create += [*([] if config.machine == "pc" else ["--machine", "q35"]), *firmware, *disk, "--serial0", "socket", "--vga", "serial0"]
    settings = [['VMID="${1:?the number of the machine}" STORAGE="${STORAGE:-local-lvm}" ISOS="${ISOS:-local}" FOLDER="${FOLDER:-$PWD}"']]
    comment = f"{about(config, 'Proxmox')}\n# {copy}\n# Then there: sh proxmox.sh VMID (STORAGE, ISOS, FOLDER: of disks, of ISO files, where it was copied)"
    return {"proxmox.sh": script(comment, *settings, create, ['qm start "$VMID" && exec qm terminal "$VMID"'])}


class Launcher(NamedTuple):
    describe: Callable[[Config], dict[str, str]]
    files: tuple[str, ...]  # that describe makes


LAUNCHERS = {
    "libvirt": Launcher(libvirt, ("libvirt.xml",)),
    "firecracker": Launcher(firecracker, ("firecracker.json", "firecracker.sh")),
    "cloud-hypervisor": Launcher(cloud_hypervisor, ("cloud-hypervisor.sh",)),
    "kubevirt": Launcher(kubevirt, ("kubevirt.yaml", "kubevirt.Containerfile")),
    "proxmox": Launcher(proxmox, ("proxmox.sh",)),
}


def launcher_names(text: str) -> list[str]:
    """Of "libvirt,kubevirt"; all of "all"."""
    names = list(LAUNCHERS) if text == "all" else text.split(",")
    for name in names:
        if name not in LAUNCHERS:
            raise argparse.ArgumentTypeError(f"there is no launcher {name!r}: {', '.join(LAUNCHERS)}, or all")
    return names


def remove(paths: list[Path]) -> list[Path]:
    """Those of them that were there."""
    there = [path for path in paths if os.path.lexists(path)]
    for path in there:
        try:
            path.unlink()
        except OSError as error:
            raise Failure(f"{path}: {error.strerror}") from error
    return there


def leave_out(launcher: str, why: Failure, folder: Path) -> None:
    """Its files of an earlier run, which would start something else, are removed."""
    removed = remove([folder / name for name in LAUNCHERS[launcher].files])
    print(f"Left out: {why}{'; removed ' if removed else ''}{' '.join(map(str, removed))}", file=sys.stderr)


def write_all(config: Config, names: list[str], folder: Path) -> list[Path]:
    """All of them or none; if all that there are were asked for, those that can, and a line for each that cannot."""
    made, refused = {}, {}
    for launcher in names:
        try:
            made |= LAUNCHERS[launcher].describe(config)
        except Failure as failure:
            refused[launcher] = failure
    if refused and (not made or names != list(LAUNCHERS)):
        raise next(iter(refused.values()))
    for name, text in made.items():
        write_output(folder / name, text.encode())
        if name.endswith(".sh"):
            (folder / name).chmod(0o755)
    for launcher, failure in refused.items():
        leave_out(launcher, failure, folder)
    return [folder / name for name in made]


def main(arguments: list[str]) -> int:
    parser = qemu.Parser(prog="describe.py", description="Describes an image to other launchers.")
    parser.add_argument("--config", type=Path, required=True, help="build/APP/run.json")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("launchers", type=launcher_names, nargs="?", default=list(LAUNCHERS), help=f"of {', '.join(LAUNCHERS)}: all")
    options = parser.parse_args(arguments)
    for path in write_all(load_config(options.config), options.launchers, options.output):
        print(path)
    return 0


if __name__ == "__main__":
    run_main("describe.py", main)
