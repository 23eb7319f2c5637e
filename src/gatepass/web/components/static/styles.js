// The component's style sheet. Text has the host page's font and colour; lines and pale fills are mixed from that
// colour, so they suit any page. All other colours are custom properties, which the host page may set.
export const STYLES = `
:host {
  display: block; container-type: inline-size;
  --_accent: var(--gatepass-accent, light-dark(#1d57cf, #86b1ff));
  --_on-accent: var(--gatepass-on-accent, light-dark(#ffffff, #0b1730));
  --_surface: var(--gatepass-surface, light-dark(#ffffff, #15191f));
  --_good: var(--gatepass-good, light-dark(#12703f, #63cf95));
  --_warn: var(--gatepass-warn, light-dark(#8a5200, #f0b95c));
  --_danger: var(--gatepass-danger, light-dark(#b3261e, #ff938a));
  --_on-danger: var(--gatepass-on-danger, light-dark(#ffffff, #2b0806));
  --_muted: var(--gatepass-muted, color-mix(in srgb, currentcolor 72%, transparent));
  --_line: var(--gatepass-line, color-mix(in srgb, currentcolor 14%, transparent));
  --_control: color-mix(in srgb, currentcolor 52%, transparent);
  --_sunken: color-mix(in srgb, currentcolor 4%, transparent);
  --_hover: color-mix(in srgb, currentcolor 7%, transparent);
  --_radius: var(--gatepass-radius, 6px);
  --_mono: var(--gatepass-font-mono, ui-monospace, "SF Mono", SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace);
  --_small: 0.9em;
  --_height: 36px;
}
:host([hidden]), [hidden] { display: none !important; }
*, ::before, ::after { box-sizing: border-box; margin: 0; padding: 0; }
.root { display: grid; gap: 20px; grid-template-columns: minmax(0, 1fr); line-height: 1.45; text-align: start; text-transform: none; white-space: normal; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.root > :empty { display: none; }
button, input, select { font: inherit; color: inherit; letter-spacing: inherit; }
button { background: none; border: 0; cursor: pointer; text-align: inherit; }
fieldset { border: 0; min-inline-size: 0; }
legend, .name { font-weight: 600; padding: 0; }
h2 { font-size: 1.5em; line-height: 1.25; font-weight: 650; text-wrap: balance; scroll-margin-block-start: var(--gatepass-scroll-margin, 16px); }
h3 { font-size: 1.1em; line-height: 1.3; font-weight: 650; }
h2:focus, .notice:focus { outline: none; }
p { text-wrap: pretty; }
strong { font-weight: 650; }
code, .mono { font-family: var(--_mono); font-size: 0.925em; font-variant-ligatures: none; direction: ltr; unicode-bidi: isolate; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; border-radius: 3px; }
.muted, .hint, .optional { color: var(--_muted); }
.hint { font-size: var(--_small); }
.optional { font-weight: 400; }
.only-read-aloud { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.icon { inline-size: 16px; block-size: 16px; flex: none; fill: none; stroke: currentcolor; stroke-width: 1.75; stroke-linecap: round; stroke-linejoin: round; }

.stack { display: grid; gap: 20px; grid-template-columns: minmax(0, 1fr); }
.stack.tight, .field { gap: 6px; }
.stack > [role="status"]:empty { position: absolute; }
h2 + p { margin-block-start: 4px; }
.field { display: grid; grid-template-columns: minmax(0, 1fr); justify-items: start; }
.head { display: flex; flex-wrap: wrap; align-items: flex-start; justify-content: space-between; gap: 12px 20px; }
.head > div { flex: 1 1 260px; }
.created { max-inline-size: 820px; }
.card { border: 1px solid var(--_line); border-radius: calc(var(--_radius) * 1.6); background: var(--_surface); }
.body { padding: 20px; }
.sections > section { padding: 20px; }
.sections > section:not([hidden]) ~ section { border-block-start: 1px solid var(--_line); }
.summary { display: grid; gap: 16px; padding: 20px; align-self: start; }
.columns { display: grid; gap: 20px; grid-template-columns: minmax(0, 1fr); }
.notices:empty { display: none; }
/* Seen from anywhere in a long form. */
.banner { position: sticky; inset-block-start: var(--gatepass-scroll-margin, 16px); z-index: 1; border-radius: var(--_radius); background: var(--_surface); }

.button { display: inline-flex; align-items: center; justify-content: center; gap: 6px; min-block-size: var(--_height); padding: 4px 14px;
  border: 1px solid var(--_control); border-radius: var(--_radius); background: var(--_surface); font-weight: 550; overflow-wrap: normal; }
.button > span:empty { display: none; }
.button:hover { background: linear-gradient(var(--_hover), var(--_hover)), var(--_surface); }
.button.primary { background: var(--_accent); border-color: transparent; color: var(--_on-accent); }
.button.danger { background: var(--_danger); border-color: transparent; color: var(--_on-danger); }
.button:is(.primary, .danger):hover { filter: brightness(0.93); }
.button.quiet { border-color: transparent; background: none; color: var(--_muted); }
.button.quiet:hover { background: var(--_hover); color: inherit; }
.button.square { inline-size: var(--_height); padding: 0; }
.button.compact { min-block-size: 28px; padding-inline: 8px; font-size: var(--_small); }
.button.back { margin-inline-start: -10px; padding-inline: 10px; font-size: var(--_small); min-block-size: 28px; margin-block-end: 4px; }
.button[aria-disabled="true"] { opacity: 0.6; cursor: progress; }
.button[aria-busy="true"]::before { content: ""; inline-size: 14px; block-size: 14px; border: 2px solid currentcolor; border-inline-end-color: transparent; border-radius: 50%; animation: turn 800ms linear infinite; }
@keyframes turn { to { rotate: 1turn; } }
.button.done .icon { color: inherit; }
.buttons { display: flex; flex-wrap: wrap; justify-content: flex-end; gap: 8px; }
.buttons.start { justify-content: flex-start; }
.input { inline-size: 100%; min-block-size: var(--_height); padding: 6px 10px; background: var(--_surface); border: 1px solid var(--_control); border-radius: var(--_radius); }
.input::placeholder { color: var(--_muted); opacity: 1; }
.input:focus-visible { outline-offset: -1px; border-radius: var(--_radius); }
.input[aria-invalid="true"] { border-color: var(--_danger); box-shadow: inset 0 0 0 1px var(--_danger); }
.input.days { inline-size: 96px; }
select.input { inline-size: auto; max-inline-size: 100%; }
input:is([type="checkbox"], [type="radio"]) { accent-color: var(--_accent); inline-size: 16px; block-size: 16px; flex: none; margin-block-start: 0.2em; }
.problem { display: flex; gap: 6px; align-items: flex-start; color: var(--_danger); font-size: var(--_small); font-weight: 500; }
.problem .icon { margin-block-start: 0.1em; }
.search { position: relative; flex: 0 1 320px; min-inline-size: 0; }
.search .input { padding-inline-start: 34px; }
.search .icon { position: absolute; inset: 0 auto 0 10px; margin-block: auto; color: var(--_muted); pointer-events: none; }

.notice { display: flex; gap: 10px; padding: 12px 14px; border: 1px solid color-mix(in srgb, var(--_kind) 35%, transparent); border-radius: var(--_radius); background: color-mix(in srgb, var(--_kind) 9%, transparent); --_kind: var(--_accent); }
.notice > .icon { margin-block-start: 0.2em; color: var(--_kind); }
.notice > div { min-inline-size: 0; flex: 1; }
.notice.warn { --_kind: var(--_warn); }
.notice.bad { --_kind: var(--_danger); }
.notice.good { --_kind: var(--_good); }
.notice .button { margin-block-start: 10px; }
.badge { --_kind: var(--_muted); display: inline-flex; align-items: center; gap: 6px; padding: 1px 8px; border-radius: 99px; font-size: 0.85em; font-weight: 600; color: var(--_kind); background: color-mix(in srgb, var(--_kind) 10%, transparent); white-space: nowrap; }
.badge::before { content: ""; inline-size: 6px; block-size: 6px; border-radius: 50%; background: currentcolor; }
.badge.active { --_kind: var(--_good); }
.badge.pending { --_kind: var(--_accent); }
.badge.expired { --_kind: var(--_warn); }
.badge.deactivated::before { border-radius: 1px; block-size: 2px; inline-size: 8px; }
.kind { padding: 0 5px; border: 1px solid var(--_line); border-radius: 4px; font-size: 0.8em; font-weight: 650; }
.chips { display: flex; flex-wrap: wrap; align-items: center; gap: 4px; min-inline-size: 0; }
.chip { max-inline-size: 100%; padding: 1px 6px; border-radius: 4px; background: var(--_hover); font-size: 0.85em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }

.toolbar { display: flex; flex-wrap: wrap; align-items: center; gap: 8px 12px; padding: 12px 16px; border-block-end: 1px solid var(--_line); }
.toolbar .search { flex: 1 1 240px; max-inline-size: 360px; }
.pick { display: flex; align-items: center; gap: 6px; }
.pick label { color: var(--_muted); }
.results[aria-busy="true"] > * { opacity: 0.6; transition: opacity 120ms 150ms; }
.pager { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: 8px 12px; min-block-size: 52px; padding: 8px 16px; border-block-start: 1px solid var(--_line); font-size: var(--_small); }
.blank { display: grid; justify-items: center; gap: 8px; padding: 44px 20px; text-align: center; }
.blank p { max-inline-size: 52ch; }
.blank .button { margin-block-start: 12px; }

table { border-collapse: collapse; inline-size: 100%; }
th { padding: 8px 12px; text-align: start; font-size: 0.85em; font-weight: 600; color: var(--_muted); background: var(--_sunken); border-block-end: 1px solid var(--_line); white-space: nowrap; }
td { padding: 10px 12px; text-align: start; vertical-align: top; }
tbody + tbody > tr:first-child > td { border-block-start: 1px solid var(--_line); }
:is(th, td):first-child { padding-inline-start: 16px; }
th:last-child span { position: absolute; clip-path: inset(50%); }
tr[part="row"] > td { line-height: 1.4; }
.title { display: inline-flex; align-items: flex-start; gap: 6px; font-weight: 600; text-align: start; }
.title:hover bdi { text-decoration: underline; }
.title .icon { margin-block-start: 0.15em; color: var(--_muted); rotate: -90deg; transition: rotate 120ms; }
.title[aria-expanded="true"] .icon { rotate: none; }
.title:dir(rtl):not([aria-expanded="true"]) .icon { rotate: 90deg; }
.under { display: flex; flex-wrap: wrap; align-items: center; gap: 2px 6px; padding-inline-start: 22px; color: var(--_muted); font-size: 0.85em; }
.ended .title { color: var(--_muted); }
.results th:first-child { inline-size: 24%; }
/* Else the column would be as wide as the longest network or domain. */
td:is(.permissions, .restrictions) { inline-size: 18%; max-inline-size: 0; }
td:is(.expires, .lastUsed) { overflow-wrap: normal; }
td.actions .button { padding-inline: 8px; white-space: nowrap; min-block-size: 30px; font-size: var(--_small); }
td.actions { padding-block: 6px; text-align: end; }
td.actions .buttons { flex-wrap: nowrap; gap: 0; }
td.details { padding: 4px 16px 20px 38px; }
.sentence { max-inline-size: 68ch; }
dl { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 250px), 1fr)); }
dt { color: var(--_muted); font-size: 0.85em; }
dd > ul { display: grid; gap: 6px; }
.plain { list-style: none; }
.lost { text-decoration: line-through; }
.diagram { display: grid; gap: 6px; }
.diagram svg { block-size: 10px; inline-size: auto; max-inline-size: 100%; }
.diagram .kept { fill: var(--_accent); }
.diagram .free { fill: color-mix(in srgb, currentcolor 20%, transparent); }
.diagram p { color: var(--_muted); font-size: var(--_small); }

.use { display: grid; grid-template-columns: minmax(0, 1fr); gap: 12px; padding-block-start: 16px; border-block-start: 1px solid var(--_line); }
.sums { column-gap: 16px; }
.key { inline-size: 12px; block-size: 12px; border: 1px solid var(--_accent); border-radius: 3px; background: var(--_accent); }
.key.refused { border-color: var(--_danger); background: none; }
.chart { max-inline-size: 720px; color: var(--_muted); font-size: 0.85em; }
.chart > svg { display: block; inline-size: 100%; block-size: 88px; border-block: 1px solid var(--_line); }
.dates { display: flex; justify-content: space-between; }
.chart rect { fill: transparent; }
.chart .allowed { fill: var(--_accent); }
.chart .refused { stroke: var(--_danger); }
.calls li { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 2px 16px; padding-block: 8px; border-block-start: 1px solid var(--_line); }
.calls li:focus { outline: none; }
.calls .button { margin-inline-start: 8px; }
.why { display: grid; gap: 12px; flex: 1 0 100%; max-inline-size: 68ch; padding: 12px; border-radius: var(--_radius); background: var(--_sunken); }
.checks, .fixes { display: grid; gap: 6px; }
.checks li { display: flex; flex-wrap: nowrap; justify-content: flex-start; gap: 8px; padding: 0; border: 0; }
.checks .icon { margin-block-start: 0.15em; }
.checks .passed .icon { color: var(--_good); }
.checks .failed :is(.icon, strong) { color: var(--_danger); }
.checks :is(.not_reached, .not_applicable) { color: var(--_muted); }
.fixes li { padding: 8px 0 0; align-items: center; }

.choices { display: grid; gap: 12px; margin-block-start: 10px; }
.choice { display: flex; gap: 10px; padding: 12px 14px; border: 1px solid var(--_control); border-radius: var(--_radius); cursor: pointer; }
.choice strong, .choice .hint { display: block; }
.choice:hover, .segments label:hover, .permission:hover { background: var(--_hover); }
.choice:has(:checked), .segments label:has(:checked) { border-color: var(--_accent); box-shadow: inset 0 0 0 1px var(--_accent); background: color-mix(in srgb, var(--_accent) 9%, transparent); }
.segments { display: flex; flex-wrap: wrap; gap: 6px; margin-block-start: 10px; }
.segments label { position: relative; display: inline-flex; align-items: center; min-block-size: 32px; padding: 2px 12px; border: 1px solid var(--_control); border-radius: 99px; cursor: pointer; font-weight: 500; }
.segments input { position: absolute; inset: 0; inline-size: 100%; block-size: 100%; margin: 0; opacity: 0; cursor: pointer; }
.segments label:has(:focus-visible) { outline: 2px solid var(--_accent); outline-offset: 2px; }
.exactly { margin-block-start: 12px; }
.exactly .input { inline-size: auto; max-inline-size: 100%; }
.exactly .name { font-weight: 600; }
fieldset > .hint, fieldset > .problem { margin-block: 4px 10px; }
fieldset > .problem { margin-block-start: 8px; }
.picker-head { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: 8px 12px; margin-block: 2px 12px; }
.picker-head .hint { flex: 1 0 100%; }
.picker-head .search { flex: 1 1 220px; max-inline-size: 320px; }
.tally { padding: 2px 10px; border-radius: 99px; background: var(--_hover); color: var(--_muted); font-size: var(--_small); font-weight: 600; }
.tally.some { color: var(--_accent); background: color-mix(in srgb, var(--_accent) 10%, transparent); }
.groups { border: 1px solid var(--_line); border-radius: var(--_radius); }
.group { display: grid; gap: 2px 16px; padding: 10px; }
.group:not([hidden]) ~ .group { border-block-start: 1px solid var(--_line); }
.group-name { padding: 5px 8px; font-weight: 600; }
.group-name::first-letter { text-transform: uppercase; }
.group-list { display: grid; gap: 2px 8px; align-content: start; }
.permission { display: flex; gap: 10px; padding: 5px 8px; border-radius: var(--_radius); cursor: pointer; }
.permission > span { min-inline-size: 0; }
.permission code { display: block; color: var(--_muted); font-size: 0.82em; }
.permission.all > span { font-weight: 600; }
.permission.all code { font-weight: 400; }
.permission:has(:checked), .group:has(.all :checked) .group-list .permission { background: color-mix(in srgb, var(--_accent) 9%, transparent); }
.group:has(.all :checked) .group-list .permission { cursor: default; }
.rows { display: grid; gap: 12px; grid-template-columns: minmax(0, 1fr); }
.rows > .rows:empty { display: none; }
.entry { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 6px 8px; align-items: start; }
.entry.network { grid-template-columns: minmax(0, 1fr) auto 72px auto; }
.entry > .wide { grid-column: 1 / -1; }
.slash { padding-block-start: 6px; color: var(--_muted); }
.versions { margin-block: 10px 0; font-size: var(--_small); }
.versions :is(th, td) { padding: 4px 12px 4px 0; background: none; }
.secret { display: flex; flex-wrap: wrap; gap: 8px; padding: 8px; background: var(--_sunken); border: 1px solid var(--_line); border-radius: var(--_radius); }
.secret output { flex: 1 1 200px; min-inline-size: 0; align-self: center; padding-inline: 8px; font-weight: 600; user-select: all; }
.secret .button { flex: 0 0 auto; }
dialog { margin: auto; inline-size: min(480px, 92vw); padding: 24px; border: 0; border-radius: calc(var(--_radius) * 1.6); background: var(--_surface); color: inherit; line-height: 1.45; overflow-wrap: anywhere; text-align: start;
  box-shadow: 0 0 0 1px var(--_line), 0 12px 32px -8px rgb(0 0 0 / 45%); }
dialog h2 { font-size: 1.2em; }
dialog .stack { gap: 16px; }
dialog::backdrop { background: rgb(10 14 22 / 48%); }

@container (min-width: 560px) {
  .choices, .group-list { grid-template-columns: 1fr 1fr; }
  .entry.network { grid-template-columns: minmax(0, 1fr) auto 92px auto; }
}
@container (min-width: 760px) { .group { grid-template-columns: minmax(0, 5fr) minmax(0, 12fr); } }
@container (min-width: 960px) {
  .columns { grid-template-columns: minmax(0, 1fr) 320px; gap: 32px; }
  .summary { position: sticky; inset-block-start: var(--gatepass-scroll-margin, 16px); }
}
/* Rows become cards. */
@container (max-width: 959px) {
  .results table, .results :is(tbody, tr, td) { display: block; }
  .results thead { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); }
  .results tbody { position: relative; padding: 12px 16px; }
  .results tbody + tbody { border-block-start: 1px solid var(--_line); }
  .results tbody + tbody > tr:first-child > td { border: 0; }
  .results td, .results td:first-child { inline-size: auto; max-inline-size: none; padding: 2px 0; }
  .results td[data-name] { display: grid; grid-template-columns: 104px minmax(0, 1fr); gap: 8px; align-content: start; justify-items: start; }
  .results td[data-name]::before { content: attr(data-name); color: var(--_muted); font-size: 0.85em; }
  .results td.token { padding-block-end: 6px; padding-inline-end: 104px; }
  .results td.status { position: absolute; inset-block-start: 12px; inset-inline-end: 16px; display: block; }
  .results td.status::before { content: none; }
  .results td.unlimited { display: none; }
  .results td.actions { display: block; margin-block-start: 6px; }
  .results td.actions::before { content: none; }
  .results td.actions .buttons { justify-content: flex-start; flex-wrap: wrap; gap: 8px; }
  .results td.actions .button { border-color: var(--_line); }
  .results td.details { padding: 12px 0 8px; }
}
@container (min-width: 560px) and (max-width: 959px) {
  .results tr[part="row"] { display: grid; grid-template-columns: 1fr 1fr; column-gap: 24px; }
  .results :is(td.token, td.actions) { grid-column: 1 / -1; }
}
@container (max-width: 419px) {
  .body, .sections > section, .summary { padding: 16px; }
  .versions, .versions :is(tbody, tr, td) { display: block; }
  .versions thead { position: absolute; clip-path: inset(50%); }
  .versions td[data-name]::before { content: attr(data-name) " "; color: var(--_muted); }
}
@media (pointer: coarse) {
  :host { --_height: 44px; }
  .input { font-size: max(16px, 1em); }
  .segments label, .results td.actions .button { min-block-size: 44px; }
  .permission { padding-block: 10px; }
}
@media (prefers-reduced-motion: reduce) { *, ::before, ::after { animation-duration: 1ms !important; transition-duration: 1ms !important; } }
@media (forced-colors: active) {
  .diagram .kept { fill: Highlight; }
  .diagram .free { fill: GrayText; }
  .choice:has(:checked), .segments label:has(:checked) { outline: 2px solid Highlight; }
}
`;
