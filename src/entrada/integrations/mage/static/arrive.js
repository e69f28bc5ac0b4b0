const arrival = JSON.parse(document.getElementById("arrival").textContent);
localStorage.setItem(arrival.key, JSON.stringify(arrival.user));
location.replace(arrival.next);
