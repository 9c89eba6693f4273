#include "platform/environment.h"

#include <stdlib.h>
#include <string.h>

#include "wide.h"

/* There is no setuid here. */
bool an_rights_are_borrowed(void)
{
    return false;
}

const char *an_environment(const char *variable)
{
    static _Thread_local char value[AN_PATH_SIZE];
    wchar_t name[64], wide[AN_PATH_SIZE];
    size_t i = 0;
    for (; variable[i] && i + 1 < sizeof(name) / sizeof(*name); i++)
        name[i] = (wchar_t)variable[i];
    name[i] = 0;
    DWORD length = GetEnvironmentVariableW(name, wide, AN_PATH_SIZE);
    /* What is too long is no path; as a relative one it is refused with a message. */
    if (length >= AN_PATH_SIZE ||
        (length > 0 &&
         WideCharToMultiByte(CP_UTF8, 0, wide, -1, value, AN_PATH_SIZE, NULL, NULL) <= 0))
        memcpy(value, "?", 2);
    return length > 0 ? value : NULL;
}

bool an_environment_set(const char *variable, const char *value)
{
    return _putenv_s(variable, value ? value : "") == 0;
}

const struct an_place an_cache_places[] = {{"LOCALAPPDATA", "\\anynorm\\cache"}, {NULL, NULL}};
const struct an_place an_tuning_places[] = {{"LOCALAPPDATA", "\\anynorm\\config\\tuning"},
                                            {NULL, NULL}};
