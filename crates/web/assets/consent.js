// Keeps "Allow" asleep until the page has been in front of the person for a moment, so that a click or a key meant
// for something else cannot land on it. Without this script the page works the same, only without the moment.
"use strict";

const allow = document.querySelector("[data-wait]");
const moment = 700;
let timer;

const sleep = () => {
  clearTimeout(timer);
  allow.disabled = true;
};

const wake = () => {
  sleep();
  if (document.visibilityState === "visible") {
    timer = setTimeout(() => {
      allow.disabled = false;
    }, moment);
  }
};

if (allow) {
  addEventListener("focus", wake);
  addEventListener("pageshow", (event) => {
    // Kept by the browser and shown once more ("Back"): what it asks may have been decided since.
    if (event.persisted) {
      location.reload();
    } else {
      wake();
    }
  });
  addEventListener("blur", sleep);
  document.addEventListener("visibilitychange", wake);
  wake();
}
