#include "platform/rights.h"

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
