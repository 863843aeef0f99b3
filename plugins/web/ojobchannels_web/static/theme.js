// Before anything is drawn, so that the page does not flash.
const theme = localStorage.getItem("ojob-theme");
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
