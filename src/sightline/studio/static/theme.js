// Before anything is painted: what was chosen last time. Storage may be switched off.
(() => {
  try {
    const root = document.documentElement;
    for (const key of ["theme", "size"]) {
      const value = localStorage.getItem(`sightline-${key}`);
      if (value) root.dataset[key] = value;
    }
  } catch { /* as the system has it */ }
})();
