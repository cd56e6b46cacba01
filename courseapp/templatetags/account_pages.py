"""What the pages of an account need to know of the settings."""

from django import template
from django.conf import settings

register = template.Library()


@register.simple_tag
def signs_on() -> bool:
    """Some identity provider is set up."""
    return bool(settings.SIGN_ON.providers)


@register.filter
def device(user_agent: str) -> str:
    """A browser and a system in words, from what the browser calls itself."""
    names = {"Edg/": "Edge", "OPR/": "Opera", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
    systems = {"iPhone": "iPhone", "iPad": "iPad", "Android": "Android", "Windows": "Windows", "Mac OS X": "macOS", "Linux": "Linux"}
    browser = next((word for mark, word in names.items() if mark in user_agent), "")
    system = next((word for mark, word in systems.items() if mark in user_agent), "")
    return " on ".join(word for word in (browser, system) if word) or user_agent[:60] or "An unknown program"
