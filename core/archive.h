/*
 * The packed files of an image: a read-only cpio archive, "new ASCII with checksum" (magic 070702, cpio(5)), as
 * images/archive.py writes it. Its first entry is the file ".quire" with the lines
 *
 *     quire-files 3
 *     bytes N         length of the whole archive
 *     entries M       entries between this one and TRAILER!!!
 *
 * and the others follow in the order of their names, '/' below every other byte: a directory stands right before what
 * is in it, and names are found by bisection. Behind the trailer, where cpio reads no more, is a line with Fletcher's
 * checksum of all that is before it, as words of 32 bits with sums of 64 (like ZFS's): any two words that changed are
 * found, and it takes neither tables nor instructions that old CPUs have not. Everything is checked once, when the
 * archive is opened: that is in proportion to what the boot loader has just read from a disk. Contents of a page and
 * more begin at a page of the archive: the name is padded with zero bytes, which count as part of it. Pure; runs on the
 * host.
 */
#ifndef CORE_ARCHIVE_H
#define CORE_ARCHIVE_H

#include "core/base/error.h"
#include "core/base/types.h"

#define ARCHIVE_PATH_MAX 4096 /* bytes of a path with its end */
#define ARCHIVE_NAME_MAX 255  /* bytes of a part of it */

/* File types in mode (cpio(5), stat(2)); the archive holds no others. */
#define ARCHIVE_TYPE 0170000u
#define ARCHIVE_DIRECTORY 0040000u
#define ARCHIVE_REGULAR 0100000u
#define ARCHIVE_LINK 0120000u

/* What the header of an entry says, read and checked once, and where the entry is in the tree. */
struct archive_record {
    const char *name; /* terminated */
    uint64_t data;    /* offset of the contents */
    uint32_t size, mode, time;
    uint32_t parent; /* the number of the directory that it is in, and one; 0: the root */
    uint32_t end;    /* the number of the first entry behind it that is not in it */
    uint16_t name_length;
};

/* An archive with no entries is a zeroed structure: a root directory with nothing in it. */
struct archive {
    const uint8_t *bytes;
    size_t size;
    size_t count; /* entries, ".quire" and the trailer excluded */
    struct archive_record *index;
    char problem[192]; /* after an error: a sentence without its end of line */
};

struct archive_entry {
    const char *path; /* no '/' at either end; terminated */
    size_t path_length;
    uint32_t mode; /* 0755 for directories and programs, 0644, 0777 for links */
    uint64_t time; /* seconds since 1970 */
    const uint8_t
        *bytes; /* of a link: its target, not terminated, of 1 to ARCHIVE_PATH_MAX - 1 bytes, none of them 0 */
    size_t size;
};

/* The directory / itself, which is not in the archive. */
#define ARCHIVE_ROOT SIZE_MAX

/*
 * Opening has three steps, because the index is the caller's memory. archive_measure reads ".quire" and sets size and
 * count; archive_verify compares the checksum; archive_index checks every entry and fills count records. size: of the
 * module, which may be longer than the archive. E_INVAL with problem set.
 */
error_t archive_measure(struct archive *, const void *bytes, size_t size);
error_t archive_verify(struct archive *);
error_t archive_index(struct archive *, struct archive_record *index);

/* Entry number, less than count or ARCHIVE_ROOT. */
struct archive_entry archive_entry(const struct archive *, size_t number);
/* The entry with this name (length bytes); E_NOENT. The empty name is the root. */
error_t archive_find(const struct archive *, const char *path, size_t length, size_t *number);

/*
 * Resolves a path from the directory given or, if it begins with '/', from the root; links are not followed. E_NOENT,
 * E_NOTDIR, E_NAMETOOLONG.
 */
error_t archive_walk(const struct archive *, size_t directory, const char *path, size_t *number);
/* The directory that an entry is in; of the root the root. */
size_t archive_parent(const struct archive *, size_t number);
/* Entries of a directory one by one: start with SIZE_MAX for previous; SIZE_MAX at the end. */
size_t archive_next_child(const struct archive *, size_t directory, size_t previous);

#endif
