#include "cli.h"

#include "platform/environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cli_fail_library(const char *subject, anynorm_status status)
{
    bool usage = status == ANYNORM_INVALID_ARGUMENT || status == ANYNORM_UNSUPPORTED;

    return cli_fail(usage ? CLI_USAGE : CLI_FAILED, subject, "%s: %s", anynorm_status_name(status),
                    anynorm_message());
}

bool cli_open_device(const char *name, anynorm_device **device)
{
    const char *variable = getenv("ANYNORM_DEVICE");
    anynorm_status status = anynorm_device_open(name, device);

    if (status == ANYNORM_OK)
        return true;
    return cli_fail_library(name                    ? "--device"
                            : variable && *variable ? "ANYNORM_DEVICE"
                                                    : "device",
                            status);
}

bool cli_open_oracle(anynorm_device **oracle)
{
    (void)an_environment_set("ANYNORM_CAPS", NULL);
    return cli_open_device("reference", oracle);
}

void cli_print_device(const anynorm_device_info *info)
{
    printf("%s: %s (%s, driver %s)\n", info->id, info->name, info->platform, info->driver);
}

static const char *const levels[] = {
    [ANYNORM_LOG_ERROR] = "error",
    [ANYNORM_LOG_WARN] = "warn",
    [ANYNORM_LOG_INFO] = "info",
    [ANYNORM_LOG_DEBUG] = "debug",
};

static void print_log(void *user, anynorm_log_level level, const char *line)
{
    (void)user;
    fprintf(stderr, "anynorm: [%s] %s\n", levels[level], line);
}

bool cli_start_log(void)
{
    const char *wanted = getenv("ANYNORM_LOG");
    anynorm_log_level level = ANYNORM_LOG_WARN;

    if (wanted && *wanted) {
        level = ANYNORM_LOG_ERROR;
        while (level <= ANYNORM_LOG_DEBUG && strcmp(wanted, levels[level]) != 0)
            level++;
        if (level > ANYNORM_LOG_DEBUG)
            return cli_fail(CLI_USAGE, "ANYNORM_LOG",
                            "there is no level '%.100s'; give error, warn, info or debug", wanted);
    }
    anynorm_log_set(print_log, NULL, level);
    return true;
}
