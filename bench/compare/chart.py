"""A chart of a few lines over one axis, as SVG that reads on light and dark pages."""
import html
import math

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 120, 40, 36
COLOURS = {"smollm3": "#2563eb", "llama.cpp": "#d97706", "limit": "#8b8f98"}


def round_up(value):
    """The next of 1, 2, 5, 10, 20, …"""
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def number(value):
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"


def svg(title, lines):
    """lines: {name: [(x, y), …]}, all with the same x, which are spaced evenly."""
    places = [x for x, _ in next(iter(lines.values()))]
    highest = max(y for points in lines.values() for _, y in points)
    step = round_up(highest / 5)
    top = step * math.ceil(highest / step)

    def across(x):
        return LEFT + places.index(x) * (WIDTH - LEFT - RIGHT) / (len(places) - 1)

    def down(y):
        return HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="system-ui, sans-serif" font-size="13" fill="#8b8f98">',
           f'<text x="{LEFT}" y="20" font-size="15">{html.escape(title)}</text>']
    for i in range(round(top / step) + 1):
        y = down(i * step)
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#8b8f98" stroke-opacity=".3"/>'
                   f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{number(i * step)}</text>')
    for x in places:
        out.append(f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{number(x)}</text>')
    labels = []
    for name, points in lines.items():
        path = "L".join(f"{across(x):.1f} {down(y):.1f}" for x, y in points)
        dashes = ' stroke-dasharray="5 4"' if name == "limit" else ""
        out.append(f'<path d="M{path}" fill="none" stroke="{COLOURS[name]}" stroke-width="2.5"{dashes}/>')
        out += [f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="3.5" fill="{COLOURS[name]}"/>'
                for x, y in points if name != "limit"]
        labels.append((down(points[-1][1]), name))
    least = 0
    for y, name in sorted(labels):  # one below the other, where lines end close together
        y = max(y, least)
        least = y + 16
        out.append(f'<text x="{WIDTH - RIGHT + 10}" y="{y + 4:.1f}" fill="{COLOURS[name]}">{name}</text>')
    return "\n".join(out) + "\n</svg>\n"
