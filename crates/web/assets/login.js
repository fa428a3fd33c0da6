// Goes on when the person comes back to this window after they signed in in another one: several windows that a client
// opened at once then need one sign-in, not one each. Without this script the button does the same.
"use strict";

const form = document.querySelector("[data-go-on]");

if (form) {
  let away = document.visibilityState !== "visible";
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "visible") {
      away = true;
    } else if (away) {
      location.replace(form.dataset.goOn);
    }
  });
}
