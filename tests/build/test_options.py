"""configure.py: options, choosing an application, --list, --new, packages."""

import json
import sys
import unittest

from tree import TreeCase


class Options(TreeCase):
    def test_help_is_grouped_and_has_examples(self):
        text = self.succeed(self.configure("--help"))
        for word in ("--setup", "the machine:", "the program", "examples:", "ninja debug", "--pages"):
            self.assertIn(word, text)

    def test_list_has_a_line_for_each_application(self):
        self.app("broken", 'summary = "x"\n')
        self.app("other", 'summary = "another one"\nsources = ["main.c"]\n')
        lines = self.succeed(self.configure("--list")).splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["broken", "hello", "other"])
        self.assertIn("cannot be built: apps/broken/app.toml:1: sources: missing", lines[0])
        self.assertTrue(lines[2].endswith("another one"))

    def test_nothing_to_do(self):
        self.refuse(self.configure(), "./configure.py --setup hello")

    def test_a_file_that_cannot_be_written(self):
        limited = ("bash", "-c", 'ulimit -f 0; exec "$@"', "bash", self.tree / "configure.py", "hello")
        self.refuse(self.run_in(self.tree, *limited), "configure.py: build/", "File too large")

    def test_a_reader_that_leaves(self):
        done = self.run_in(self.tree, "bash", "-c", "./configure.py --list | true; echo ${PIPESTATUS[0]}")
        self.assertIn(done.stdout.strip(), ("0", "141"))
        self.assertEqual(done.stderr, "")

    def test_unknown_application_names_the_closest(self):
        self.refuse(self.configure("helo"), "no application 'helo'", "did you mean hello?", "--list")
        self.assertFalse((self.tree / "build").exists())

    def test_folder_without_manifest(self):
        self.refuse(self.configure("core/linux"), "core/linux has no app.toml", "--new")

    def test_unknown_option_names_the_closest(self):
        self.refuse(self.configure("hello", "--rma", "64M"), "unknown option --rma", "did you mean --ram?")
        self.refuse(self.configure("hello", "--rma=64M"), "unknown option --rma", "did you mean --ram?")

    def test_options_are_not_abbreviated(self):
        self.refuse(self.configure("hello", "--relea"), "unknown option --relea")

    def test_two_applications(self):
        self.refuse(self.configure("hello", "lua"), "one application at a time", "after --")

    def test_bad_values(self):
        for option, value, allowed in (
            ("--ram", "64X", "whole MiB"),
            ("--ram", "1M", "at least 4M"),
            ("--ram", "4097K", "whole MiB"),
            ("--cpus", "0", "from 1 to 64"),
            ("--cpus", "two", "from 1 to 64"),
            ("--pages", "8k", "'4k', '2m', '1g'"),
            ("--libc", "dietlibc", "'musl', 'glibc', 'none'"),
            ("--malloc", "dlmalloc", "'heap', 'hardened', 'libc', 'jemalloc', 'mimalloc', 'tcmalloc'"),
            ("--machine", "vax", "'q35', 'microvm', 'pc'"),
            ("--firmware", "coreboot", "'bios', 'uefi'"),
            ("--attach", "floppy", "'virtio-scsi'"),
            ("--attach", "ide", "BIOS on q35 does not boot from that; there: elf, cd"),
            ("--firmware", "uefi", "does not boot an ELF file; add --attach"),
            ("--accelerator", "hax", "'auto', 'tcg', 'kvm'"),
            ("--ram", "65T", "at most 64T"),
            ("--timeline", "10", "10ms"),
            ("--timeline", "10m", "10ms"),
            ("--timeline", "99us", "at least 100us"),
            ("--timeline", "3601s", "at most 3600s"),
            ("--timeline", "0s", "or off"),
            ("--profile", "0", "from 1 to 10000"),
            ("--profile", "10001", "from 1 to 10000"),
            ("--profile", "100Hz", "from 1 to 10000"),
            ("--profile", "-1", "from 1 to 10000"),
            ("--cmdline", "a\nb", "one line"),
            ("--cmdline", 'a "b', "No closing quotation"),
            ("--cmdline", "-- foo", "behind --"),
        ):
            with self.subTest(option=option, value=value):
                self.refuse(self.configure("hello", option, value), option, allowed)
        self.assertFalse((self.tree / "build").exists())

    def test_unknown_format_lists_what_there_is(self):
        for value in ("vdi", "iso,vdi", "iso,", ""):
            self.refuse(self.configure("hello", "--format", value), "--format", "iso, raw, qcow2, vhd, vhdx, vmdk, ova, gce")
        self.refuse(self.configure("hello", "--compress", "xz"), "--compress", "none", "gzip")
        self.assertFalse((self.tree / "build").exists())

    def test_longest_command_line_of_the_core(self):
        self.refuse(self.configure("hello", "--cmdline", "x" * 4000), "4017 bytes", "4000")

    def test_most_ram(self):
        self.assertIn("64 TiB of RAM", self.succeed(self.configure("hello", "--ram", "64T")))

    def test_option_without_its_value(self):
        self.refuse(self.configure("hello", "--ram"), "--ram", "expected one argument")

    def test_allocator_and_libc_that_do_not_fit(self):
        text = self.refuse(self.configure("hello", "--malloc", "jemalloc"), '--malloc jemalloc needs libc = "glibc"')
        self.assertIn("; add --libc glibc", text)
        self.refuse(self.configure("hello", "--libc", "none", "--malloc", "mimalloc"), "hello: ", "without a C library", "leave out --malloc")
        self.app("fast", 'summary = "x"\nsources = ["main.c"]\nlibc = "glibc"\nmalloc = "tcmalloc"\n')
        self.refuse(self.configure("fast", "--libc", "musl"), 'fast: malloc = "tcmalloc" needs libc = "glibc"', "add --malloc libc")
        self.assertFalse((self.tree / "build").exists())
        self.assertIn("Configured fast: musl with its own malloc, release", self.succeed(self.configure("fast", "--libc", "musl", "--malloc", "libc")))

    def test_hardened_heap(self):
        """The option and the key of the manifest are the allocator `hardened`."""
        self.succeed(self.configure("hello", "--harden-heap"))
        images = json.loads((self.tree / "build/configuration.json").read_text())["images"]
        self.assertEqual(images["hello"]["choices"]["malloc"], "hardened")
        self.assertIn("Configured hello: musl with hardened", self.succeed(self.configure("hello", "--harden-heap", "--malloc", "heap")))
        self.app("careful", 'summary = "x"\nsources = ["main.c"]\nharden_heap = true\n')
        self.assertIn("musl with hardened", self.succeed(self.configure("careful")))
        self.assertIn("Configured careful: musl, ", self.succeed(self.configure("careful", "--malloc", "heap")))
        self.refuse(self.configure("hello", "--harden-heap", "--malloc", "libc"), "there is no hardened libc", "leave out --malloc")
        self.refuse(self.configure("hello", "--harden-heap", "--inline"), 'malloc = "hardened" is always called', "add --malloc heap")
        self.refuse(self.configure("hello", "--harden-heap", "--libc", "none"), "without a C library")
        self.refuse(self.configure("--program", "/bin/sh", "--harden-heap"), "--harden-heap has no meaning with --program")

    def test_choices_of_an_older_version(self):
        self.succeed(self.configure("hello"))
        path = self.tree / "build/configuration.json"
        memory = json.loads(path.read_text())
        del memory["images"]["hello"]["choices"]["malloc"]
        path.write_text(json.dumps(memory))
        self.succeed(self.configure("--again"))
        self.assertIsNone(json.loads(path.read_text())["images"]["hello"]["choices"]["malloc"])

    def test_choices_reach_the_descriptions(self):
        self.succeed(
            self.configure("hello", "--ram", "96M", "--cpus", "2", "--pages", "4k", "--machine", "pc", "--cmdline", "quire.aslr=off")
        )
        run = json.loads((self.tree / "build/hello/run.json").read_text())
        self.assertEqual((run["memory"], run["cpus"], run["machine"]), (96 << 20, 2, "pc"))
        self.assertEqual(run["files"], None)
        config = (self.tree / "build/hello/config.c").read_text()
        about = json.loads((self.tree / "build/hello/about.json").read_text())
        self.assertEqual((about["memory"]["ram"], about["cpus"], about["pages"]), (96 << 20, 2, "4k"))
        self.assertEqual((about["command_line"], about["arguments"]), ("quire.aslr=off", ["world"]))
        self.assertIn("PAGE_4K", config)
        self.assertIn('"quire.aslr=off"', config)

    def test_what_is_booted_is_built_first(self):
        for options, inputs in (((), "hello.elf"), (("--attach", "nvme", "--firmware", "uefi"), "hello.iso")):
            self.succeed(self.configure("hello", *options))
            run = json.loads((self.tree / "build/hello/run.json").read_text())
            self.assertEqual([run["attach"], run["firmware"]], list(options[1::2]) or ["elf", "bios"])
            self.assertIn(f"build run: terminal build/hello/{inputs} |", (self.tree / "build/targets.ninja").read_text())

    def test_descriptions_for_launchers(self):
        folder = self.tree / "build/hello/launch"
        self.refuse(self.configure("hello", "--describe", "xen"), "--describe", "'xen'", "libvirt, firecracker")
        self.refuse(self.configure("--run", "--describe", "all"), "--describe describes one application")
        self.refuse(self.configure("--boot-chart"), "--boot-chart draws the boot of one application")
        self.assertFalse(folder.exists())
        self.succeed(self.configure("hello", "--ram", "80M", "--describe", "libvirt,firecracker", "--", "a b"))
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["firecracker.json", "firecracker.sh", "libvirt.xml"])
        settings = json.loads((folder / "firecracker.json").read_text())
        self.assertEqual((settings["machine-config"]["mem_size_mib"], settings["boot-source"]["boot_args"]), (80, "-- 'a b'"))

    def observation(self, *options: str) -> tuple[bool, str]:
        """Of the application seen: what run.json and config.c say."""
        self.succeed(self.configure("seen", *options))
        folder = self.tree / "build/seen"
        return json.loads((folder / "run.json").read_text())["observe"], (folder / "config.c").read_text()

    def test_observation(self):
        self.app("seen", 'summary = "x"\nsources = ["main.c"]\n')
        observe, config = self.observation()
        self.assertFalse(observe)
        self.assertNotIn("observe", config)
        observe, config = self.observation("--stats")
        self.assertTrue(observe)
        for word in ("&quire_observer_stats,", ".observe = &observation,", ".timeline = 0,", ".profile = 0,"):
            self.assertIn(word, config)
        config = self.observation("--stats", "--timeline", "10ms", "--profile", "10000")[1]
        self.assertIn(".timeline = 10000000,", config)
        self.assertIn(".profile = 10000,", config)
        self.succeed(self.ninja("build/seen/config.o"))

    def test_options_override_what_the_manifest_observes(self):
        self.app("seen", 'summary = "x"\nsources = ["main.c"]\n[observe]\nstats = true\ntimeline = "1s"\nprofile = 100\n')
        observe, config = self.observation()
        self.assertTrue(observe)
        for word in ("&quire_observer_stats,", ".timeline = 1000000000,", ".profile = 100,"):
            self.assertIn(word, config)
        self.assertIn(".timeline = 500000,", self.observation("--timeline", "500us")[1])
        observe, config = self.observation("--no-stats", "--timeline", "off", "--profile", "off")
        self.assertFalse(observe)
        self.assertNotIn("observe", config)

    def test_prints_the_plan(self):
        text = self.succeed(self.configure("hello"))
        for word in ("Memory plan of hello", "allowance", "stack", "page tables", "RAM needed", "RAM configured", "ninja run"):
            self.assertIn(word, text)
        self.assertNotIn("\033", text)

    def test_plan_larger_than_ram(self):
        self.app("deep", 'summary = "x"\nsources = ["main.c"]\n[memory]\nram = "64M"\nheap = "32M"\n')
        self.refuse(self.configure("deep", "--ram", "16M"), "deep", "too large by 17.", "MiB", "--ram 34M")
        self.succeed(self.configure("deep", "--ram", "34M"))

    def test_windows_are_in_the_plan_but_need_no_ram(self):
        window = '[[window]]\nname = "screen"\nsize = "1G"\ncache = "wc"\ndescription = "pixels"\n'
        self.app("show", 'summary = "x"\nsources = ["main.c"]\n' + window)
        text = self.succeed(self.configure("show", "--ram", "16M"))
        self.assertIn("window screen", text)
        self.assertIn("(1 GiB)", text)


class New(TreeCase):
    def test_writes_an_application_that_configures_and_compiles(self):
        self.assertIn("./configure.py counter && ninja run", self.succeed(self.configure("--new", "counter")))
        self.succeed(self.configure("counter"))
        self.succeed(self.ninja("build/counter/obj/main.c.o"))
        self.assertNotIn("@", (self.tree / "apps/counter/README.md").read_text())

    def test_outside_of_the_project(self):
        place = self.scratch / "my programs"
        place.mkdir()
        self.succeed(self.configure("--new", "./squares", folder=place))
        self.succeed(self.configure("./squares", folder=place))
        self.succeed(self.ninja("build/squares/obj/main.c.o", "build/squares/config.o"))
        self.assertEqual(sorted(path.name for path in place.iterdir()), ["squares"])

    def test_existing_folder(self):
        before = (self.tree / "apps/hello/main.c").read_text()
        self.refuse(self.configure("--new", "hello"), "apps/hello exists already")
        self.assertEqual((self.tree / "apps/hello/main.c").read_text(), before)

    def next_step(self, done) -> str:
        return self.succeed(done).split("Next: ")[1].split(" && ")[0]

    def test_from_another_folder_the_hint_works(self):
        place = self.scratch / "my programs"
        place.mkdir()
        for name, folder in (("one", place), ("./two", place), ("three", self.tree / "apps"), (str(place / "four"), self.tree)):
            with self.subTest(name=name):
                hint = self.next_step(self.configure("--new", name, folder=folder))
                self.succeed(self.run_in(folder, "sh", "-c", hint))
        readme = (place / "two/README.md").read_text()
        self.assertIn(f"./configure.py '{place}/two'", readme)

    def test_what_could_not_be_configured_is_not_written(self):
        for name, words in (("./a b:c/x", "path with ':'"), ("./hello", "has this name")):
            with self.subTest(name=name):
                self.refuse(self.configure("--new", name, folder=self.scratch), words)
        self.assertEqual([path.name for path in self.scratch.iterdir()], ["quire"])

    def test_bad_names(self):
        for name in ("", "."):
            with self.subTest(name=name):
                self.refuse(self.configure("--new", name), "--new ", "a name is")
        for name in ("Hello", "test", "1st", "x-debug", "a_b", "core", "a--b", "a-", "stress", "bench-boot"):
            with self.subTest(name=name):
                self.refuse(self.configure("--new", name), f"--new {name}", "a name is")
                self.assertFalse((self.tree / "apps" / name).exists())


class Packages(TreeCase):
    def test_missing_package_is_named_with_the_command(self):
        self.fake_debian("xorriso gdb")
        self.refuse(self.configure("hello"), "missing: xorriso gdb", "./configure.py --setup hello")
        self.assertFalse((self.tree / "build").exists())

    def test_missing_package_of_the_application(self):
        self.fake_debian("libfancy-dev")
        self.app("fancy", 'summary = "x"\nsources = ["main.c"]\npackages = ["libfancy-dev"]\n')
        self.refuse(self.configure("fancy"), "package is missing: libfancy-dev", "./configure.py --setup fancy")
        self.succeed(self.configure("hello"))
        left_out = json.loads((self.tree / "build/tests.json").read_text())["left_out"]
        self.assertIn("libfancy-dev", left_out["image fancy"])

    def test_missing_allocator(self):
        self.fake_debian("libjemalloc-dev libstdc++-12-dev")
        command = "./configure.py --setup hello "
        self.refuse(self.configure("hello", "--malloc", "mimalloc"), "Debian's source of mimalloc is missing", f"{command}--malloc mimalloc")
        glibc = ("hello", "--libc", "glibc", "--malloc")
        for name, package in (("jemalloc", "libjemalloc-dev"), ("tcmalloc", "libstdc++-12-dev")):
            self.refuse(self.configure(*glibc, name), f"package is missing: {package}", f"{command}--libc glibc --malloc {name}")
        text = self.succeed(self.configure("--setup", *glibc, "jemalloc"))
        self.assertIn("the allocator jemalloc", text)
        self.assertIn("Configured hello: glibc with jemalloc, release", text)

    def test_setup_installs_what_is_missing_and_nothing_else(self):
        log = self.fake_debian("xorriso libcmocka-dev libfancy-dev")
        self.app("fancy", 'summary = "x"\nsources = ["main.c"]\npackages = ["libfancy-dev"]\n')
        text = self.succeed(self.configure("--setup", "hello"))
        self.assertIn("writes the ISO", text)
        self.assertIn("Configured hello", text)
        told = log.read_text().splitlines()
        self.assertEqual(sum(line.endswith("update") for line in told), 1)
        self.assertTrue(told[-1].endswith("xorriso libcmocka-dev libfancy-dev"), told)
        log.unlink()
        self.succeed(self.configure("--setup", "hello"))
        self.assertFalse(log.exists(), "nothing was missing")

    def test_setup_that_fails(self):
        self.fake_debian("xorriso", broken=True)
        done = self.configure("--setup", "hello")
        self.assertEqual(done.returncode, 2)
        self.assertIn("could not install xorriso", done.stderr)
        self.assertFalse((self.tree / "build").exists())

    def test_no_dpkg(self):
        folder = self.scratch / "bin"
        folder.mkdir()
        self.environment["PATH"] = str(folder)
        self.refuse(self.run_in(self.tree, sys.executable, self.tree / "configure.py", "hello"), "dpkg-query", "Debian")


if __name__ == "__main__":
    unittest.main()
