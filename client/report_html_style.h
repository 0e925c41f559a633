/* The style sheet of report.html: light and dark by the reader's setting, no font or file from
 * elsewhere. */
#pragma once

extern const char *const REPORT_HTML_STYLE[]; /* lines; NULL at the end */
