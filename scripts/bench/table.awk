# From measures.tsv and lines "WHO MEASURE VALUE": a table of medians and ratios, of ours, of
# CPython (py) and of a third, which the variable third names. What is asked of ours alone is a
# figure in the unit of the row, or "N MEASURE": N times that measure of ours. For "died" all
# values of all rounds together are one distribution.
BEGIN { title3["c"] = "C"; title3["goplugin"] = "go-plugin" }
FNR == NR {
	if (/^#/) next
	order[++keys] = $1
	title[$1] = $2; unit[$1] = $3; scale[$1] = $4; better[$1] = $5; askpy[$1] = $6; ask3[$1] = $7; alone[$1] = $8
	if ($8 != "") columns = 9
	next
}
{ v[$1, $2, ++n[$1, $2]] = $3 + 0 }
function quantile(who, key, q,    m, i, j, x, a) {
	m = n[who, key]
	if (!m) return ""
	for (i = 1; i <= m; i++) a[i] = v[who, key, i]
	for (i = 2; i <= m; i++) for (j = i; j > 1 && a[j - 1] > a[j]; j--) { x = a[j]; a[j] = a[j - 1]; a[j - 1] = x }
	i = int(q * m)
	if (i < q * m) i++ # the smallest value that so many are not above
	return a[i < 1 ? 1 : i]
}
function shown(x, key) { return x == "" ? "-" : sprintf(x / scale[key] < 100 ? "%.3g" : "%.0f", x / scale[key]) }
function ratio(x, y) { return x == "" || y == "" || !y ? "-" : sprintf("%.2f ×", x / y) }
function verdict(x, y, key, ask) {
	if (ask == "" || x == "" || !y) return ""
	if (better[key] == "less") return x / y <= ask ? "ok" : "MISSED"
	return x / y >= ask ? "ok" : "MISSED"
}
function asked(key, ask) { return ask == "" ? "" : (better[key] == "less" ? "≤ " : "≥ ") ask }
# judged tells what is asked of ours alone, and whether it holds.
function judged(key, x,    part, of) {
	if (alone[key] == "") return ""
	if (split(alone[key], part, " ") == 1) return asked(key, alone[key]) " " unit[key] " " verdict(x, scale[key], key, alone[key])
	of = quantile("ours", part[2], 0.5)
	return asked(key, part[1]) " × " title[part[2]] " " verdict(x, of, key, part[1]) " (" ratio(x, of) ")"
}
function row(a, b, c, d, e, f, g, h, i) {
	if (third == "") {
		printf "| %s | %s | %s | %s | %s |\n", a, b, c, d, e
		return
	}
	printf "| %s | %s | %s | %s | %s | %s | %s | %s |%s\n", a, b, c, d, e, f, g, h, columns == 9 ? " " i " |" : ""
}
END {
	row("", "ours", "CPython", "ours : CPython", "asked", title3[third], "ours : " title3[third], "asked", "asked of ours alone")
	row("---", "---:", "---:", "---:", "---", "---:", "---:", "---", "---")
	for (k = 1; k <= keys; k++) {
		key = order[k]
		if (key == "died") {
			for (p = 50; p <= 99; p += 49) {
				x = quantile("ours", key, p / 100); z = quantile(third, key, p / 100)
				ask = p == 99 ? "≤ 2 ms " (x != "" && x <= 2 ? "ok" : "MISSED") : ""
				row(title[key] ", p" p " of " n["ours", key] + 0, shown(x, key) " ms", "never", "", ask, shown(z, key), ratio(x, z), "")
			}
			continue
		}
		x = quantile("ours", key, 0.5); y = quantile("py", key, 0.5); z = quantile(third, key, 0.5)
		row(title[key], shown(x, key) " " unit[key], shown(y, key), ratio(x, y), asked(key, askpy[key]) " " verdict(x, y, key, askpy[key]),
			shown(z, key), ratio(x, z), asked(key, ask3[key]) " " verdict(x, z, key, ask3[key]), judged(key, x))
	}
}
