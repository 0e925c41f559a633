#include "client/report_html_style.h"

#include <stddef.h>

/* clang-format off */
const char *const REPORT_HTML_STYLE[] = {
    ":root{color-scheme:light dark;--bg:#f5f6f8;--card:#fff;--ink:#14181f;--soft:#5b6472;--line:#e2e5ea;"
    "--grid:#eceef2;--s0:#2f6fed;--s1:#e07b1f;--good:#178a55;--warn:#b7791f;--bad:#d1383d;"
    "--p0:#c3c9d3;--p1:#9aa4b3;--p2:#f0b429;--p3:#7c5cff;--p4:#2f6fed;--p5:#13a594;--p6:#e0559b;"
    "--p7:#8d6e5a;--p8:#d9dde4;--p9:#b3bbc8}",
    "@media(prefers-color-scheme:dark){:root{--bg:#0f1218;--card:#181c24;--ink:#e8ebf0;--soft:#98a2b3;"
    "--line:#2a303b;--grid:#232934;--s0:#6ea0ff;--s1:#ffa657;--good:#3fc98b;--warn:#e3b341;--bad:#ff7b7f;"
    "--p0:#4a5362;--p1:#697384;--p2:#f2c14e;--p3:#a08bff;--p4:#6ea0ff;--p5:#38cdbb;--p6:#f07fb8;"
    "--p7:#b59480;--p8:#39414e;--p9:#566072}}",
    "*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}",
    "main{max-width:1180px;margin:0 auto;padding:28px 24px 48px}",
    "header .brand{color:var(--soft);font-size:12px;letter-spacing:.12em;text-transform:uppercase}",
    "h1{font-size:30px;line-height:1.2;margin:2px 0 6px;letter-spacing:-.02em;overflow-wrap:anywhere}",
    "h2{font-size:19px;margin:34px 0 10px;letter-spacing:-.01em}.about{color:var(--soft);margin:8px 0 12px}h2+.about{margin-top:-6px}",
    ".facts{color:var(--soft);display:flex;flex-wrap:wrap;gap:2px 20px;margin:0 0 14px}.facts span{overflow-wrap:anywhere}",
    ".facts b{color:var(--ink);font-weight:500}",
    "pre{margin:0;padding:12px 14px;background:var(--card);border:1px solid var(--line);border-radius:10px;"
    "font:12.5px/1.55 ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre-wrap;overflow-wrap:anywhere}",
    ".verdict{display:flex;flex-wrap:wrap;align-items:center;gap:6px 18px;margin:14px 0;padding:12px 16px;border-radius:12px;"
    "background:var(--card);border:1px solid var(--line);border-left:5px solid var(--tone)}",
    ".verdict b{color:var(--tone);font-size:16px}.verdict span{color:var(--soft)}.verdict span b{color:var(--ink);font-size:15px}",
    ".good{--tone:var(--good)}.warn{--tone:var(--warn)}.bad{--tone:var(--bad)}",
    ".tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;margin:14px 0}",
    ".tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:12px 16px}",
    ".tile span,.tile small{color:var(--soft);font-size:13px;display:block}",
    ".tile b{font-size:25px;font-weight:650;letter-spacing:-.02em;font-variant-numeric:tabular-nums}",
    ".tile em,.key em{font-style:normal;font-weight:400;color:var(--soft);letter-spacing:0}.tile em{font-size:13px}",
    ".charts{display:grid;grid-template-columns:1fr 1fr;gap:14px}.card{margin:0;min-width:0;background:var(--card);"
    "border:1px solid var(--line);border-radius:12px;padding:14px 16px 8px}.wide{grid-column:1/-1}",
    ".card>figcaption{display:flex;flex-wrap:wrap;align-items:baseline;gap:2px 16px;margin-bottom:8px}",
    ".key{font-size:12.5px;color:var(--ink);white-space:nowrap}.note{font-size:12.5px;color:var(--soft);margin-left:auto}",
    ".key i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px;background:var(--c)}",
    "svg{display:block;width:100%;height:auto;overflow:visible}",
    "svg text{fill:var(--soft);font-size:11.5px;font-variant-numeric:tabular-nums}svg .strong{fill:var(--ink);font-weight:600}",
    ".grid{stroke:var(--grid);fill:none}.axis{stroke:var(--soft);fill:none;opacity:.5}",
    ".mark{stroke:var(--ink);stroke-dasharray:3 3;fill:none;opacity:.55}.fail{stroke:var(--bad);stroke-width:2;fill:none}",
    ".s0{--c:var(--s0)}.s1{--c:var(--s1)}.key .bad{--c:var(--bad)}",
    ".line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}.band{fill:var(--c);opacity:.22}",
    ".bar{fill:var(--c)}.dot{fill:var(--c);opacity:.75}.dot:hover{opacity:1;stroke:var(--ink)}",
    ".l0{--c:var(--s0)}.l1{--c:var(--p2)}.l2{--c:var(--s1)}.area{fill:var(--c);fill-opacity:.28;stroke:var(--c);stroke-width:1.4}",
    ".area.l1{fill-opacity:.8}.area.l2{fill-opacity:.1}",
    ".p0{--c:var(--p0)}.p1{--c:var(--p1)}.p2{--c:var(--p2)}.p3{--c:var(--p3)}.p4{--c:var(--p4)}.p5{--c:var(--p5)}"
    ".p6{--c:var(--p6)}.p7{--c:var(--p7)}.p8{--c:var(--p8)}.p9{--c:var(--p9)}svg rect[class^=p]{fill:var(--c)}",
    ".hot{fill:var(--ink);opacity:0}.hot:hover{opacity:.1}",
    ".scroll{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:12px}",
    "table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}",
    "th,td{padding:6px 14px;text-align:right;white-space:nowrap}th:first-child{text-align:left;font-weight:500}",
    "td:first-child{text-align:left}thead th{color:var(--soft);font-weight:500;font-size:12.5px;border-bottom:1px solid var(--line)}",
    "tbody tr+tr>*{border-top:1px solid var(--grid)}th small{color:var(--soft);font-weight:400}",
    ".section th{color:var(--soft);font-size:12px;letter-spacing:.08em;text-transform:uppercase;padding-top:16px}",
    "td.weak{color:var(--soft)}td.text{text-align:left;white-space:normal;overflow-wrap:anywhere}",
    ".gallery{display:grid;grid-template-columns:repeat(auto-fill,minmax(150px,1fr));gap:12px}",
    ".gallery figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:12px;overflow:hidden}",
    ".gallery img{display:block;width:100%;aspect-ratio:1;object-fit:contain;background:var(--grid)}",
    ".gallery figcaption{padding:8px 10px;font-size:12.5px;line-height:1.35}.gallery p{margin:0 0 4px;display:-webkit-box;"
    "-webkit-line-clamp:3;-webkit-box-orient:vertical;overflow:hidden;overflow-wrap:anywhere}small{color:var(--soft)}",
    "footer{margin-top:32px;color:var(--soft);font-size:12.5px}",
    "@media(max-width:760px){.charts{grid-template-columns:1fr}main{padding:18px 12px}.wide{overflow-x:auto}.wide svg{width:760px}}",
    "@media print{body{background:#fff}.card,.scroll,.tile{break-inside:avoid}}", NULL};
/* clang-format on */
