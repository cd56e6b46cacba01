"""The drawings of the pages, 16 × 16 with a stroke of 1.4: shapes only, `{% icon %}` puts the frame around them."""

ICONS = {
    "today": '<path d="M8 1v2M8 13v2M1 8h2m10 0h2M3 3l1.4 1.4M11.6 11.6 13 13M3 13l1.4-1.4M11.6 4.4 13 3"/><circle cx="8" cy="8" r="3"/>',
    "schedule": '<rect x="2" y="3" width="12" height="11" rx="2"/><path d="M2 7h12M5.5 1.5v3M10.5 1.5v3"/>',
    "homework": '<path d="M4 1.5h5l3 3v10H4z"/><path d="M9 1.5v3h3M6 8h4M6 11h4"/>',
    "forum": '<path d="M2 3h12v8H7l-3 3v-3H2z"/>',
    "participation": '<path d="M3 14V8m5 6V3m5 11V6"/>',
    "competition": '<path d="M5 2h6v4a3 3 0 0 1-6 0zM5 3H2.5c0 3 1 4 2.8 4M11 3h2.5c0 3-1 4-2.8 4M8 9v3m-3 2h6"/>',
    "grades": '<path d="M2 13.5h12M3.5 11 7 7l2.5 2 3.5-5"/>',
    "people": '<circle cx="6" cy="5.5" r="2.5"/><path d="M1.5 14c.4-3 2-4.5 4.5-4.5s4.1'
    ' 1.5 4.5 4.5M11 3.3a2.4 2.4 0 0 1 0 4.4M12 9.8c1.5.6 2.3 2 2.5 4.2"/>',
    "queue": '<path d="M2.5 4h7M2.5 8h7M2.5 12h7"/><path d="m12 6 2.5 2-2.5 2"/>',
    "lab": '<path d="M6.2 1.5h3.6M6.7 1.5v4.2L2.6 12.6a1.3 1.3 0 0 0 1.1 1.9h8.6a1.3 1.3 0 0 0 1.1-1.9L9.3 5.7V1.5M4.6 10h6.8"/>',
    "receipt": '<path d="M3.5 1.5h9v13l-2.2-1.4-2.3 1.4-2.3-1.4-2.2 1.4z"/><path d="M6 5h4M6 8h4"/>',
    "file": '<path d="M4 1.5h5l3 3v10H4z"/><path d="M9 1.5v3h3"/>',
    "code": '<path d="M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5"/>',
    "check": '<path d="m3 8.5 3.2 3.2L13 5"/>',
    "cross": '<path d="m4 4 8 8m0-8-8 8"/>',
    "hidden": '<circle cx="8" cy="8" r="5.5" stroke-dasharray="2.2 2.2"/>',
    "open": '<circle cx="8" cy="8" r="5.5"/>',
    "warn": '<path d="M8 2 1.5 13.5h13zM8 6.5v3.3M8 11.7v.1"/>',
    "info": '<circle cx="8" cy="8" r="6"/><path d="M8 7.3v3.9M8 4.9v.1"/>',
    "clock": '<circle cx="8" cy="8" r="6"/><path d="M8 4.5V8l2.5 1.5"/>',
    "upload": '<path d="M8 10.5v-8M4.5 6 8 2.5 11.5 6M2.5 10.5v3h11v-3"/>',
    "download": '<path d="M8 2.5v8M4.5 7 8 10.5 11.5 7M2.5 10.5v3h11v-3"/>',
    "run": '<path d="M4.5 2.5v11l8.5-5.5z"/>',
    "account": '<circle cx="8" cy="5.5" r="3"/><path d="M2.5 14.5c.5-3.3 2.5-5 5.5-5s5 1.7 5.5 5"/>',
    "lock": '<rect x="3" y="7" width="10" height="7" rx="1.5"/><path d="M5 7V5a3 3 0 0 1 6 0v2"/>',
    "mail": '<rect x="1.5" y="3" width="13" height="10" rx="1.5"/><path d="m2 4.5 6 4.5 6-4.5"/>',
    "staff": '<circle cx="8" cy="8" r="2"/><path d="M8 1.5v2m0 9v2M1.5 8h2m9 0h2M3.4'
    ' 3.4l1.4 1.4m6.4 6.4 1.4 1.4m0-9.2-1.4 1.4m-6.4 6.4-1.4 1.4"/>',
}
