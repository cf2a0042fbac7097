"""Shaders that set marks off from what they lie on by a thin line: black around light colours, white around dark ones.

Texts of shaders in, texts of shaders out, without a screen. vispy doesn't promise what is in its shaders; where
something is looked for in vain, there is no other text.
"""

from __future__ import annotations

import re
from typing import Final

BLACK_OUTLINE, WHITE_OUTLINE = (0.0, 0.0, 0.0, 0.8), (1.0, 1.0, 1.0, 0.75)


#: How wide the line is, and the ring of a point at least, in pixels of the screen.
_LINE_PX: Final = 1.0
_RING_PX: Final = 1.0
#: As far, by the contrast ratio, from black as from white.
_EVEN_LUMINANCE: Final = 0.179

_OUTLINE: Final = f"""
vec4 outline_of(vec3 color) {{
    float luminance = dot(pow(color, vec3(2.2)), vec3(0.2126, 0.7152, 0.0722));
    return luminance > {_EVEN_LUMINANCE} ? vec4{BLACK_OUTLINE} : vec4{WHITE_OUTLINE};
}}

void main()"""

#: By what is written in vispy's shader of markers. Marks without a ring, as clouds of points, have no outline.
_OF_MARKERS: Final = {
    r"void main\(\)": _OUTLINE,
    r"float edgealphafactor = min\(edge, 1\.0\);": "float edgealphafactor = 1.0;",
    r"if \(r > 0\.5\*edge \+ u_antialias\)": f"""float line = edge > 0. ? {_LINE_PX} : 0.;
    if (r > 0.5*edge + line + u_antialias)""",
    r"gl_FragColor = vec4\(edgecolor\.rgb, alpha\*edgecolor\.a\);": """
            float beyond = max(r - 0.5*edge - line, 0.) / max(u_antialias, 0.001);
            vec4 outline = outline_of(v_fg_color.rgb);
            float around = (1. - alpha) * outline.a * exp(-beyond*beyond);
            float both = alpha + around;
            vec3 color = (alpha * edgecolor.rgb + around * outline.rgb) / max(both, 0.001);
            gl_FragColor = vec4(color, both * edgecolor.a);""",
}
_RING: Final = f"""
    float edge = v_edgewidth > 0. ? max(v_edgewidth, {_RING_PX}) : 0.;
"""
_OF_LABELS: Final = {
    r"void main\(\)": _OUTLINE,
    r"gl_FragColor = \$color_transform\(\$get_data\(texcoord\)\);": f"""
    vec2 wide = {_LINE_PX} * fwidth(texcoord);
    vec4 here = $color_transform($get_data(texcoord));
    vec4 near = vec4(0.0);
    for (int side = 0; side < 4; side++) {{
        vec2 way = side == 0 ? vec2(1, 0) : side == 1 ? vec2(-1, 0) : side == 2 ? vec2(0, 1) : vec2(0, -1);
        vec4 there = $color_transform($get_data(clamp(texcoord + way * wide, 0.0, 1.0)));
        near = there.a > near.a ? there : near;
    }}
    if (here.a == 0.0 && near.a > 0.0)
        here = outline_of(near.rgb) * vec4(vec3(1.0), near.a);
    gl_FragColor = here;
""",
}


def outlined_markers(fragment: str) -> str | None:
    """The fragment shader of vispy's markers with a line around each; None where it isn't the one that is known."""
    head, main, body = fragment.partition("void main()")
    ringed = body.replace("v_edgewidth", "edge").replace("{", "{" + _RING, 1)
    return _replaced(head + main + ringed, _OF_MARKERS)


def outlined_labels(fragment: str) -> str | None:
    """The fragment shader of vispy's images, as napari draws labels by it, with a line around what isn't background."""
    return _replaced(fragment, _OF_LABELS)


def _replaced(text: str, by_pattern: dict[str, str]) -> str | None:
    for pattern, other in by_pattern.items():
        before, *after = re.split(pattern, text)
        if len(after) != 1:
            return None
        text = before + other + after[0]
    return text
