"""images/describe.py: what each launcher is given fits the image, libvirt's schema, and the launcher's own limits."""

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

from support import FolderCase

import describe
import machines
import qemu
from tool import Failure

SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")  # of libvirt0
ARGUMENTS = ["two words", "it's", 'a "quoted" \\word', "<&>", "--", ""]
# Prints the words that a command was given, a JSON list a line.
STAND_IN = f"#!/bin/sh\nexec /usr/bin/python3 -c 'import json, sys; print(json.dumps(sys.argv[1:]))' \"$(basename \"$0\")\" \"$@\"\n"
READ_YAML = "import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))"


class DescribeCase(FolderCase):
    def config(self, **changes: object) -> qemu.Config:
        values = {
            "name": "app", "elf": "/srv/app.elf", "iso": "/srv/app.iso", "files": "/srv/app.files", "debug_elf": None,
            "memory": 96 << 20, "cpus": 3, "command_line": "quire.aslr=off", "arguments": ARGUMENTS, "devices": [],
            "machine": "q35", "accelerator": "auto",
        }  # fmt: skip
        return qemu.load_config(self.write("run.json", json.dumps(values | changes).encode()))

    def assert_core_reads(self, line: str) -> None:
        self.assertEqual(shlex.split(line), ["quire.aslr=off", "--", *ARGUMENTS])

    def said(self, script: str) -> list[list[str]]:
        """The commands that a script calls, each a stand-in; the script lies in self.folder."""
        for name in ("firecracker", "cloud-hypervisor", "qm"):
            self.write(f"bin/{name}", STAND_IN.encode(), 0o755)
        environment = os.environ | {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}", "FOLDER": "/root"}
        path = self.write("script.sh", script.encode())
        done = subprocess.run(["sh", path, "100"], env=environment, capture_output=True, text=True, timeout=60, check=True)
        return [json.loads(row) for row in done.stdout.splitlines()]


class LibvirtTest(DescribeCase):
    def domain(self, config: qemu.Config) -> ElementTree.Element:
        """The description, which fits the schema."""
        path = self.write("libvirt.xml", describe.libvirt(config)["libvirt.xml"].encode())
        done = subprocess.run(
            ["xmllint", "--noout", "--relaxng", SCHEMA, path], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return ElementTree.parse(path).getroot()

    def test_direct(self) -> None:
        domain = self.domain(self.config())
        found = {path: domain.findtext(path) for path in ("name", "memory", "vcpu", "os/kernel", "os/initrd")}
        self.assertEqual(list(found.values()), ["app", str(96 << 10), "3", "/srv/app.elf", "/srv/app.files"])
        self.assert_core_reads(domain.findtext("os/cmdline"))
        self.assertEqual((domain.get("type"), domain.find("os/type").get("machine")), ("kvm", "q35"))
        self.assertIsNone(domain.find("devices/disk"))
        plain = self.domain(self.config(files=None, arguments=[], command_line="", accelerator="tcg"))
        self.assertEqual([plain.find(path) for path in ("os/initrd", "os/cmdline")], [None, None])
        self.assertEqual(plain.get("type"), "qemu")

    def test_every_way_to_attach(self) -> None:
        for boot in machines.every_boot():
            config = self.config(**boot._asdict())
            if boot.attach == "nvme":
                with self.assertRaisesRegex(Failure, "libvirt has no disk, NVMe.*virtio-blk"):
                    describe.libvirt(config)
                continue
            domain = self.domain(config)
            disk = domain.find("devices/disk")
            self.assertEqual(disk.find("source").get("file"), "/srv/app.iso")
            self.assertEqual(disk.get("device") == "cdrom", machines.ATTACHMENTS[boot.attach].cd)
            self.assertEqual(domain.find("os").get("firmware"), "efi" if boot.firmware == "uefi" else None)
            self.assertEqual(domain.find("os/type").get("machine"), boot.machine)
            self.assertIsNone(domain.find("os/kernel"))

    def test_devices_of_qemu(self) -> None:
        domain = self.domain(self.config(devices=["bochs-display", "edu"]))
        words = [word.get("value") for word in domain.iter(f"{{{describe.QEMU_NAMES}}}arg")]
        self.assertEqual(words, ["-device", "bochs-display", "-device", "edu"])

    def test_the_schema_refuses(self) -> None:
        """So that fitting it says something."""
        config = self.config()
        text = describe.libvirt(config)["libvirt.xml"].replace('unit="KiB"', 'unit="pages"')
        path = self.write("wrong.xml", text.encode())
        done = subprocess.run(["xmllint", "--noout", "--relaxng", SCHEMA, path], capture_output=True, check=False)
        self.assertNotEqual(done.returncode, 0)


class OthersTest(DescribeCase):
    def test_firecracker(self) -> None:
        made = describe.firecracker(self.config(memory=(96 << 20) - 1))
        settings = json.loads(made["firecracker.json"])
        self.assertEqual(settings["machine-config"], {"vcpu_count": 3, "mem_size_mib": 96})
        source = settings["boot-source"]
        self.assertEqual((source["kernel_image_path"], source["initrd_path"]), ("/srv/app.elf", "/srv/app.files"))
        self.assert_core_reads(source["boot_args"])
        words = ["firecracker", "--no-api", "--config-file", f"{self.folder}/firecracker.json", "100"]
        self.assertEqual(self.said(made["firecracker.sh"]), [words])
        for words, changes in (("2047", {"arguments": ["x" * 2040]}), ("at most 32", {"cpus": 33}), ("edu", {"devices": ["edu"]})):
            with self.assertRaisesRegex(Failure, words):
                describe.firecracker(self.config(**changes))
        self.assertEqual(json.loads(describe.firecracker(self.config(arguments=[], command_line="", files=None))["firecracker.json"])["boot-source"],
                         {"kernel_image_path": "/srv/app.elf", "boot_args": ""})  # fmt: skip

    def test_cloud_hypervisor(self) -> None:
        [words] = self.said(describe.cloud_hypervisor(self.config())["cloud-hypervisor.sh"])
        options = dict(zip(words[1::2], words[2::2]))
        self.assert_core_reads(options.pop("--cmdline"))
        self.assertEqual(options, {"--kernel": "/srv/app.elf", "--initramfs": "/srv/app.files", "--cpus": "boot=3",
                                   "--memory": "size=96M", "--serial": "tty", "--console": "off"})  # fmt: skip

    def test_kubevirt(self) -> None:
        for attach, firmware, kind, bus in (("elf", "bios", "disk", "virtio"), ("cd", "uefi", "cdrom", "sata"), ("usb", "bios", "disk", "usb")):
            made = describe.kubevirt(self.config(attach=attach, firmware=firmware))
            done = subprocess.run(["/usr/bin/python3", "-c", READ_YAML], input=made["kubevirt.yaml"], capture_output=True, text=True, check=True)
            spec = json.loads(done.stdout)["spec"]["template"]["spec"]
            domain = spec["domain"]
            self.assertEqual((domain["memory"], domain["cpu"]), ({"guest": "96Mi"}, {"cores": 3}))
            self.assertEqual(list(domain["firmware"]["bootloader"]), ["efi" if firmware == "uefi" else "bios"])
            [disk], [volume] = domain["devices"]["disks"], spec["volumes"]
            self.assertEqual((disk[kind]["bus"], disk["name"]), (bus, volume["name"]))
            self.assertEqual(volume["containerDisk"]["image"], "REGISTRY/app:latest")
            self.assertIn("ADD --chown=107:107 app.iso /disk/app.img\n", made["kubevirt.Containerfile"])
        with self.assertRaisesRegex(Failure, "KubeVirt has no disk, NVMe"):
            describe.kubevirt(self.config(attach="nvme"))

    def test_proxmox(self) -> None:
        for attach, option, words in (("elf", "--ide2", "local:iso/app.iso,media=cdrom"), ("sata", "--sata0", "local-lvm:0,import-from=/root/app.raw"),
                                      ("pvscsi", "--scsi0", "local-lvm:0,import-from=/root/app.raw")):  # fmt: skip
            create, start, terminal = self.said(describe.proxmox(self.config(attach=attach))["proxmox.sh"])
            self.assertEqual((create[:3], start, terminal), (["qm", "create", "100"], ["qm", "start", "100"], ["qm", "terminal", "100"]))
            found = dict(zip(create[3::2], create[4::2]))
            self.assertEqual((found["--memory"], found["--cores"], found["--serial0"], found["--bios"]), ("96", "3", "socket", "seabios"))
            self.assertEqual((found[option], found["--boot"]), (words, f"order={option[2:]}"))
            self.assertEqual(found.get("--scsihw"), "pvscsi" if attach == "pvscsi" else None)
        create = self.said(describe.proxmox(self.config(attach="cd", firmware="uefi", machine="pc"))["proxmox.sh"])[0]
        self.assertIn("local-lvm:1,efitype=4m,pre-enrolled-keys=0", create)
        self.assertNotIn("--machine", create)

    def test_words_that_a_file_cannot_hold(self) -> None:
        """Those that pass the command line refuse them; of all launchers these are left out."""
        output = self.folder / "launch"
        passing = {"libvirt": "libvirt", "firecracker": "Firecracker", "cloud-hypervisor": "cloud-hypervisor"}
        for word, shown in (("\udcff", "\\udcff"), ("a\1b", "a\\x01b"), ("a\nb", "a\\nb"), ("\uffff", "\\uffff")):
            self.config(arguments=["plain", word])
            command = ("describe.py", "--config", self.folder / "run.json", "--output", output)
            for launcher, name in passing.items():
                self.assert_refused(self.tool(*command, launcher), f"{name} has no way to pass '{shown}'")
            self.assertFalse(output.exists())
            done = self.tool(*command)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (0, 3), done.stderr)
            self.assertEqual(sorted(path.name for path in output.iterdir()), ["kubevirt.Containerfile", "kubevirt.yaml", "proxmox.sh"])
            shutil.rmtree(output)
        self.assertIn("\u00fc\u20ac", describe.cloud_hypervisor(self.config(arguments=["\u00fc\u20ac"]))["cloud-hypervisor.sh"])

    def test_all_or_nothing(self) -> None:
        self.config(attach="nvme", files=None)
        config, output = self.folder / "run.json", self.folder / "launch"
        self.assert_refused(self.tool("describe.py", "--config", config, "--output", output, "proxmox,firecracker"), "NVMe", "virtio-blk")
        self.assertFalse(output.exists())
        done = self.tool("describe.py", "--config", config, "--output", output, "firecracker,cloud-hypervisor")
        self.assertEqual(done.returncode, 0, done.stderr)
        names = ["cloud-hypervisor.sh", "firecracker.json", "firecracker.sh"]
        self.assertEqual(sorted(path.name for path in output.iterdir()), names)
        self.assertTrue(all(os.access(output / name, os.X_OK) for name in names if name.endswith(".sh")))
        self.assert_refused(self.tool("describe.py", "--config", config, "--output", output, "xen"), "'xen'", "proxmox")

    def test_of_all_launchers_those_that_can(self) -> None:
        self.config(attach="nvme", files=None)
        output = self.folder / "launch"
        done = self.tool("describe.py", "--config", self.folder / "run.json", "--output", output)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([row.split(" has no ")[0] for row in done.stderr.splitlines()], [f"Left out: {name}" for name in ("libvirt", "KubeVirt", "Proxmox")])
        self.assertEqual(sorted(done.stdout.split()), [str(output / name) for name in ("cloud-hypervisor.sh", "firecracker.json", "firecracker.sh")])
        self.assertTrue(all(Path(name).is_file() for name in done.stdout.split()))
        self.config(attach="nvme", devices=["edu"], files=None)
        self.assert_refused(self.tool("describe.py", "--config", self.folder / "run.json", "--output", self.folder / "none"), "libvirt has no")
        self.assertFalse((self.folder / "none").exists())


    def test_files_of_those_left_out(self) -> None:
        """Those of an earlier run would start something else; what this tool does not write stays."""
        self.config()
        output = self.folder / "launch"
        command = ("describe.py", "--config", self.folder / "run.json", "--output", output)
        self.assertEqual(self.tool(*command).returncode, 0)
        self.assertEqual({path.name for path in output.iterdir()}, {name for launcher in describe.LAUNCHERS.values() for name in launcher.files})
        self.write("launch/libvirt.txt")
        self.config(attach="nvme")
        self.assert_refused(self.tool(*command, "libvirt"), "libvirt has no disk, NVMe")
        self.assertTrue((output / "libvirt.xml").exists(), "all or nothing")
        done = self.tool(*command)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(f"; removed {output}/kubevirt.yaml {output}/kubevirt.Containerfile\n", done.stderr)
        names = ["cloud-hypervisor.sh", "firecracker.json", "firecracker.sh", "libvirt.txt"]
        self.assertEqual(sorted(path.name for path in output.iterdir()), names)
        self.assertNotIn("removed", self.tool(*command).stderr)
        (output / "libvirt.xml").mkdir()
        self.assert_refused(self.tool(*command), f"{output}/libvirt.xml: Is a directory")


class CloudPagesTest(FolderCase):
    def test_each_says_what_is_to_be_known(self) -> None:
        folder = describe.qemu.ROOT / "images/cloud"
        pages = {path.name for path in folder.glob("*.md")} - {"README.md"}
        listed = set(re.findall(r"\]\(([a-z-]+\.md)\)", (folder / "README.md").read_text()))
        self.assertEqual(pages, listed)
        for name in pages:
            text = (folder / name).read_text()
            for words in ("**Boot mode**", "**Serial console**", "**End**", "\nUntested: ", "\n    "):
                self.assertIn(words, text, name)
