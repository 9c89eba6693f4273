#include "common/cli.h"
#include "files/output.h"

#include "platform/program.h"

#include <anynorm/anynorm.h>

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} commands[] = {
    {"devices", cli_devices, "list the devices and what they can"},
    {"layer-norm", cli_norm, "layer normalization of a npy file or a safetensors file's tensor"},
    {"rms-norm", cli_norm, "RMS normalization, likewise"},
    {"group-norm", cli_norm, "group normalization of (batch, channels, ...)"},
    {"instance-norm", cli_norm, "instance normalization, likewise"},
    {"batch-norm", cli_norm, "batch normalization, likewise"},
    {"explain", cli_explain, "write a page that shows the norms by a device's own numbers"},
    {"verify", cli_verify, "check every schedule of a device against the oracle"},
    {"bench", cli_bench, "measure a device, next to copies of the same size"},
    {"tune", cli_tune, "find the fastest schedules of a device, for the library to use"},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(void)
{
    puts("usage: anynorm COMMAND [options]\n"
         "\n"
         "Layer normalization on any vendor's GPU or CPU.\n"
         "\n"
         "commands:");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-13s %s\n", commands[i].name, commands[i].summary);
    puts("\n"
         "anynorm COMMAND --help tells its options; anynorm --version tells the version.\n"
         "\n"
         "environment:\n"
         "  ANYNORM_DEVICE    the device to use where --device is not given\n"
         "  ANYNORM_LOG       error, warn (the default), info or debug: what goes to stderr\n"
         "  ANYNORM_CAPS      pretend a weaker device: no-fp64,no-fp16,no-subgroup,\n"
         "                    no-subgroup-size,no-unified,no-storage16,no-push-descriptors,\n"
         "                    max-wg=N,max-local=N,max-groups=N,max-alloc=N,max-range=N,\n"
         "                    max-buffers=N\n"
         "  ANYNORM_QUIRKS    off: mask nothing by itself on drivers that are known to be broken\n"
         "  ANYNORM_SCHEDULE  force one schedule by name\n"
         "  ANYNORM_CACHE     compiled programs on disk: off, on, or auto (the default): not for "
         "PoCL,\n"
         "                    which keeps its own\n"
         "  ANYNORM_CACHE_DIR their folder, mode 0700, instead of ~/.cache/anynorm\n"
         "  ANYNORM_TUNING    the tuning database (default: ~/.config/anynorm/tuning); off: none\n"
         "\n"
         "exit status: 0 done, 1 the work failed, 2 bad usage or bad input");
}

static int unknown_command(const char *name)
{
    char known[200] = "";
    size_t used = 0;

    for (size_t i = 0; i < COMMANDS; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
                                 commands[i].name);
    if (name) {
        cli_fail(CLI_USAGE, name, "no command of anynorm; there are %s, and --help", known);
    } else {
        cli_fail(CLI_USAGE, "COMMAND", "missing; give one of %s, or --help", known);
    }
    return cli_error_print();
}

int main(int argc, char **argv)
{
    argv = an_program_arguments(&argc, argv);
    bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0);

    if (help || (argc > 1 && strcmp(argv[1], "--version") == 0)) {
        if (help) {
            print_help();
        } else {
            puts("anynorm " ANYNORM_VERSION);
        }
        return cli_flush_stdout() ? CLI_DONE : cli_error_print();
    }
    if (argc < 2)
        return unknown_command(NULL);
    if (!cli_start_log())
        return cli_error_print();
    output_guard();
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    }
    return unknown_command(argv[1]);
}
