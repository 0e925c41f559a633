/* The state is a file-scope variable, since signal handlers need it; all they call is safe there.
 */
#include "client/terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <termios.h>
#include <unistd.h>

#define ENTER "\x1b[?1049h\x1b[?25l\x1b[2J" /* other screen, no cursor, empty */
#define LEAVE "\x1b[?25h\x1b[?1049l"
#define TAIL_BYTES 8192
#define MAX_LINES 64

static const int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGHUP, SIGQUIT, SIGTSTP};
enum { N_SIGNALS = sizeof SIGNALS / sizeof SIGNALS[0] };

static struct {
    volatile sig_atomic_t is_open;
    int screen;              /* the terminal */
    int log, saved_stderr;   /* -1: stderr is elsewhere */
    struct termios settings; /* as they were */
    bool has_settings;
    struct sigaction actions[N_SIGNALS]; /* likewise */
} terminal = {.screen = -1, .log = -1, .saved_stderr = -1};

static void put(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        text += n;
        size -= (size_t)n;
    }
}

/* ---- giving it back: called by handlers too ------------------------------------------------- */

static void leave(void)
{
    put(terminal.screen, LEAVE, sizeof LEAVE - 1);
    if (terminal.has_settings)
        tcsetattr(terminal.screen, TCSADRAIN, &terminal.settings);
}

static void enter(void)
{
    struct termios quiet = terminal.settings;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    if (terminal.has_settings)
        tcsetattr(terminal.screen, TCSADRAIN, &quiet);
    put(terminal.screen, ENTER, sizeof ENTER - 1);
}

static void replay_log(void)
{
    char bytes[4096];
    if (terminal.log < 0)
        return;
    dup2(terminal.saved_stderr, STDERR_FILENO);
    off_t at = 0;
    for (ssize_t n; (n = pread(terminal.log, bytes, sizeof bytes, at)) > 0; at += n)
        put(STDERR_FILENO, bytes, (size_t)n);
}

static void on_signal(int number)
{
    int saved = errno;
    if (terminal.is_open && number == SIGTSTP) {
        leave();
        raise(SIGSTOP); /* goes on here after SIGCONT */
        enter();
        errno = saved;
        return;
    }
    if (terminal.is_open) {
        terminal.is_open = 0;
        leave();
        replay_log();
    }
    for (int i = 0; i < N_SIGNALS; i++) { /* once more, with whoever was there before */
        if (SIGNALS[i] == number)
            sigaction(number, &terminal.actions[i], NULL);
    }
    raise(number);
    errno = saved;
}

static void take_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    for (int i = 0; i < N_SIGNALS; i++)
        sigaction(SIGNALS[i], &action, &terminal.actions[i]);
}

/* ---- the face ------------------------------------------------------------------------------- */

static bool is_able(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && term && *term && strcmp(term, "dumb") != 0;
}

static bool keep_stderr(void)
{
    if (!isatty(STDERR_FILENO))
        return true;
    terminal.log = memfd_create("fluxperf log", MFD_CLOEXEC);
    terminal.saved_stderr = dup(STDERR_FILENO);
    if (terminal.log >= 0 && terminal.saved_stderr >= 0 &&
        dup2(terminal.log, STDERR_FILENO) == STDERR_FILENO)
        return true;
    return false;
}

static void close_fds(void)
{
    int *const fds[] = {&terminal.log, &terminal.saved_stderr, &terminal.screen};
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

bool terminal_open(void)
{
    if (!is_able())
        return false;
    terminal.screen = dup(STDOUT_FILENO);
    if (terminal.screen < 0 || !keep_stderr()) {
        close_fds();
        return false;
    }
    terminal.has_settings = tcgetattr(terminal.screen, &terminal.settings) == 0;
    take_signals();
    terminal.is_open = 1;
    enter();
    return true;
}

void terminal_size(int *columns, int *rows)
{
    struct winsize size = {0};
    bool is_known = terminal.screen >= 0 && ioctl(terminal.screen, TIOCGWINSZ, &size) == 0;
    *columns = is_known && size.ws_col > 0 ? size.ws_col : 80;
    *rows = is_known && size.ws_row > 0 ? size.ws_row : 24;
}

void terminal_show(const struct buf *text)
{
    struct buf out = {0};
    buf_puts(&out, "\x1b[H");
    for (size_t i = 0; i < text->size; i++) {
        if (text->data[i] == '\n')
            buf_puts(&out, "\x1b[K\r\n");
        else
            buf_putc(&out, text->data[i]);
    }
    buf_puts(&out, "\x1b[K\x1b[J");
    put(terminal.screen, out.data, out.size);
    buf_free(&out);
}

void terminal_log(struct buf *out, int n)
{
    char tail[TAIL_BYTES];
    if (terminal.log < 0 || n <= 0)
        return;
    off_t size = lseek(terminal.log, 0, SEEK_CUR); /* shared with the writers: where they are */
    off_t from = size > TAIL_BYTES ? size - TAIL_BYTES : 0;
    ssize_t got = pread(terminal.log, tail, sizeof tail, from);
    ssize_t begin = got;
    for (int lines = 0; begin > 0; begin--) {
        if (tail[begin - 1] == '\n' && begin < got && ++lines == n)
            break;
    }
    if (got > 0)
        buf_append(out, tail + begin, (size_t)(got - begin));
}

void terminal_close(void)
{
    if (!terminal.is_open)
        return;
    terminal.is_open = 0;
    leave();
    replay_log();
    for (int i = 0; i < N_SIGNALS; i++)
        sigaction(SIGNALS[i], &terminal.actions[i], NULL);
    close_fds();
}
