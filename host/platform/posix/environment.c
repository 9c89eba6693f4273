#include "platform/environment.h"

#include <stdlib.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/auxv.h>
#endif

bool an_rights_are_borrowed(void)
{
#if defined(__linux__)
    if (getauxval(AT_SECURE))
        return true;
#endif
    return getuid() != geteuid() || getgid() != getegid();
}

const char *an_environment(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

bool an_environment_set(const char *variable, const char *value)
{
    return (value ? setenv(variable, value, 1) : unsetenv(variable)) == 0;
}

const struct an_place an_cache_places[] = {
    {"XDG_CACHE_HOME", "/anynorm"}, {"HOME", "/.cache/anynorm"}, {NULL, NULL}};
const struct an_place an_tuning_places[] = {
    {"XDG_CONFIG_HOME", "/anynorm/tuning"}, {"HOME", "/.config/anynorm/tuning"}, {NULL, NULL}};
