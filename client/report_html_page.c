#include "client/report_html_page.h"

#include "client/report_html_chart.h"
#include "client/report_html_style.h"

void report_html_page_begin(struct buf *out, const char *title)
{
    buf_puts(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                  "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                  "img-src data:; style-src 'unsafe-inline'\">\n"
                  "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                  "<link rel=\"icon\" href=\"data:,\">\n<title>fluxperf: ");
    report_html_escape(out, title);
    buf_puts(out, "</title>\n<style>\n");
    for (const char *const *line = REPORT_HTML_STYLE; *line; line++)
        buf_printf(out, "%s\n", *line);
    buf_puts(out, "</style>\n</head>\n<body>\n<main>\n");
}

void report_html_page_end(struct buf *out) { buf_puts(out, "</main>\n</body>\n</html>\n"); }
