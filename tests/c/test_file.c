/* Files that appear whole or not at all, and what no rename may replace: links, FIFOs, devices.
 * Not here: what is in them. */
#include "data_files.h"
#include "store/store.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/time.h>

/* Kinds of what lies at a path: '-' file, 'l' link, 'p' FIFO, 'c' device, ' ' nothing. */
static char kind(const char *path) {
    struct stat info;
    if (lstat(path, &info) != 0) return ' ';
    return S_ISREG(info.st_mode)    ? '-'
           : S_ISLNK(info.st_mode)  ? 'l'
           : S_ISFIFO(info.st_mode) ? 'p'
           : S_ISCHR(info.st_mode)  ? 'c'
                                    : '?';
}

static const char *content(const char *path) {
    static char text[256];
    FILE *file = fopen(path, "rb");
    text[file ? fread(text, 1, sizeof text - 1, file) : 0] = 0;
    if (file) fclose(file);
    return text;
}

static void written(const char *path, const char *text) {
    if (mien_file_write(path, text, (int64_t)strlen(text)) != MIEN_OK)
        fail_msg("%s", mien_error_last()->message);
}

/* Files in the scratch folder, which no writer may add to. */
static int entries(void) {
    char command[160], line[32] = "";
    snprintf(command, sizeof command, "ls -A '%s' | wc -l", scratch_folder);
    FILE *pipe = popen(command, "r");
    assert_non_null(fgets(line, sizeof line, pipe));
    pclose(pipe);
    return atoi(line);
}

/* A device of our own, since a fault in what is tested would replace the machine's; or a skip: that
 * wants root and a folder that may hold devices. */
static const char *device(const char *name, unsigned minor) {
    const char *path = scratch(name);
    if (mknod(path, S_IFCHR | 0666, makedev(1, minor)) != 0) skip();
    int fd = open(path, O_WRONLY);
    if (fd < 0) skip();
    close(fd);
    return path;
}

static void a_file_is_replaced_whole(void **state) {
    const char *path = scratch("kept");
    written(path, "old and longer");
    written(path, "new");
    assert_string_equal(content(path), "new");
    assert_int_equal(entries(), 1);
    assert_int_equal(mien_file_write(scratch("absent/x"), "x", 1), MIEN_ERR_IO);
    assert_message("absent/x: No such file");
    assert_int_equal(mien_file_write("/tmp", "x", 1), MIEN_ERR_IO);
    assert_message("/tmp: it is a folder");
    assert_int_equal(mien_file_write("", "x", 1), MIEN_ERR_ARGUMENT);
}

static void a_full_disk_leaves_what_was_there(void **state) {
    const char *path = scratch("kept");
    written(path, "old");
    int before = entries();
    struct rlimit limit, small;
    getrlimit(RLIMIT_FSIZE, &limit);
    small = (struct rlimit){4096, limit.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    static char much[10000];
    mien_status status = mien_file_write(path, much, sizeof much);
    setrlimit(RLIMIT_FSIZE, &limit);
    assert_int_equal(status, MIEN_ERR_IO);
    assert_message("kept: File too large");
    assert_string_equal(content(path), "old");
    assert_int_equal(entries(), before);
}

static void a_link_stays_one_and_its_file_is_replaced(void **state) {
    assert_int_equal(mkdir(scratch("other"), 0777), 0);
    written(scratch("other/file"), "old");
    assert_int_equal(symlink("other/file", scratch("link")), 0);
    assert_int_equal(symlink("link", scratch("second")), 0);
    written(scratch("second"), "new");
    assert_int_equal(kind(scratch("second")), 'l');
    assert_int_equal(kind(scratch("link")), 'l');
    assert_string_equal(content(scratch("other/file")), "new");
    assert_int_equal(symlink("other/coming", scratch("early")), 0); /* to what is not there yet */
    written(scratch("early"), "made");
    assert_int_equal(kind(scratch("early")), 'l');
    assert_string_equal(content(scratch("other/coming")), "made");
    assert_int_equal(symlink("round", scratch("round")), 0);
    assert_int_equal(mien_file_write(scratch("round"), "x", 1), MIEN_ERR_IO);
    assert_message("links go round");
}

static void a_fifo_is_written_into(void **state) {
    const char *path = scratch("fifo");
    assert_int_equal(mkfifo(path, 0666), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    int before = entries();
    written(path, "through");
    char got[16] = "";
    assert_int_equal(read(reader, got, sizeof got), 7);
    assert_string_equal(got, "through");
    close(reader);
    assert_int_equal(kind(path), 'p');
    assert_int_equal(entries(), before);
}

/* Nobody reads: the wish to stop ends the waiting, at the signal that brings it. */
static void stop(int number) {
    mien_interrupt_request();
}

static void a_fifo_that_nobody_reads_can_be_given_up(void **state) {
    const char *path = scratch("unread");
    assert_int_equal(mkfifo(path, 0666), 0);
    struct sigaction action = {.sa_handler = stop}, before;
    sigaction(SIGALRM, &action, &before);
    /* again and again: whichever comes while it waits */
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 20000}, {0, 20000}}, NULL);
    assert_int_equal(mien_file_write(path, "x", 1), MIEN_ERR_INTERRUPTED);
    setitimer(ITIMER_REAL, &(struct itimerval){{0}}, NULL);
    sigaction(SIGALRM, &before, NULL);
    written(scratch("finished"), "a file is finished all the same");
    mien_interrupt_clear();
}

static void a_device_is_written_into(void **state) {
    const char *path = device("null", 3);
    written(path, "gone");
    assert_int_equal(kind(path), 'c');
    assert_int_equal(symlink("null", scratch("to_null")), 0);
    written(scratch("to_null"), "gone");
    assert_int_equal(kind(scratch("to_null")), 'l');
    assert_int_equal(kind(path), 'c');
    path = device("full", 7);
    assert_int_equal(mien_file_write(path, "x", 1), MIEN_ERR_IO);
    assert_message("full: No space left");
    assert_int_equal(kind(path), 'c');
}

/* As /dev/stdout is: what was written before stays, what is written after follows. */
static void a_descriptor_is_gone_on_with(void **state) {
    const char *path = scratch("out");
    int fd = open(path, O_RDWR | O_CREAT, 0666);
    assert_int_equal(write(fd, "before ", 7), 7);
    char name[64];
    snprintf(name, sizeof name, "/dev/fd/%d", fd);
    written(name, "here ");
    assert_int_equal(symlink(name, scratch("named")), 0);
    written(scratch("named"), "there ");
    assert_int_equal(write(fd, "after", 5), 5);
    close(fd);
    assert_string_equal(content(path), "before here there after");
}

/* What libraries write by name. */
static void what_was_written_aside_is_put_in_its_place(void **state) {
    assert_int_equal(symlink("other/file", scratch("to_file")), 0);
    char *aside = mien__file_temporary(scratch("to_file"));
    assert_string_equal(aside, scratch("other/file.partial"));
    written(aside, "whole");
    assert_int_equal(mien__file_commit(aside, scratch("to_file")), MIEN_OK);
    assert_int_equal(kind(scratch("to_file")), 'l');
    assert_string_equal(content(scratch("other/file")), "whole");
    assert_int_equal(kind(aside), ' ');
    assert_int_equal(mien__file_commit(aside, scratch("to_file")), MIEN_ERR_IO);
    assert_string_equal(content(scratch("other/file")), "whole");
    free(aside);
    const char *fifo = scratch("fifo2");
    assert_int_equal(mkfifo(fifo, 0666), 0);
    assert_null(mien__file_temporary(fifo));
    assert_message("fifo2: it is a device or a FIFO");
    written(scratch("aside"), "whole");
    assert_int_equal(mien__file_commit(scratch("aside"), fifo), MIEN_ERR_IO);
    assert_int_equal(kind(fifo), 'p');
    assert_null(mien_h5_create(fifo));
    assert_message("fifo2: it is a device or a FIFO");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_replaced_whole),
        cmocka_unit_test(a_full_disk_leaves_what_was_there),
        cmocka_unit_test(a_link_stays_one_and_its_file_is_replaced),
        cmocka_unit_test(a_fifo_is_written_into),
        cmocka_unit_test(a_fifo_that_nobody_reads_can_be_given_up),
        cmocka_unit_test(a_device_is_written_into),
        cmocka_unit_test(a_descriptor_is_gone_on_with),
        cmocka_unit_test(what_was_written_aside_is_put_in_its_place),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, scratch_remove);
}
